//! A file of ours that several knobs share: a head, and a section for each knob that wants something
//! there, so that one knob's lines can be taken out or left as they are without knowing what they say.
//!
//! Owns: the form of such a file. Never does: reading or writing it. Runs on: the main thread of a
//! command.

/// What a section starts with; the knob's name follows.
const MARK: &str = "# knob ";

/// A shared file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sections {
    head: String,
    /// Names of knobs, and whole lines.
    parts: Vec<(String, String)>,
}

impl Sections {
    /// A file that has no section yet. `head` is whole lines.
    pub fn new(head: &str) -> Sections {
        Sections {
            head: head.to_owned(),
            parts: Vec::new(),
        }
    }

    /// What a file says. One that is not shared is all head.
    pub fn parse(text: &str) -> Sections {
        let mut sections = Sections::default();
        for line in text.lines() {
            if let Some(id) = line.strip_prefix(MARK) {
                sections.parts.push((id.to_owned(), String::new()));
                continue;
            }
            let part = match sections.parts.last_mut() {
                Some((_, lines)) => lines,
                None => &mut sections.head,
            };
            part.push_str(line);
            part.push('\n');
        }
        sections
    }

    /// Adds the section of a knob, unless it would be empty.
    pub fn push(&mut self, id: &str, lines: &str) {
        if !lines.is_empty() {
            self.parts.push((id.to_owned(), lines.to_owned()));
        }
    }

    /// The lines of a knob; empty where it has none.
    pub fn lines_of(&self, id: &str) -> &str {
        let part = self.parts.iter().find(|(known, _)| known == id);
        part.map_or("", |(_, lines)| lines)
    }

    /// The knobs that have a section.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().map(|(id, _)| id.as_str())
    }

    /// Whether no knob has a section.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// The same without the sections of some knobs.
    pub fn without(mut self, is_left_out: &dyn Fn(&str) -> bool) -> Sections {
        self.parts.retain(|(id, _)| !is_left_out(id));
        self
    }

    /// The file's text.
    pub fn text(&self) -> String {
        let mut text = self.head.clone();
        for (id, lines) in &self.parts {
            text.push_str(&format!("{MARK}{id}\n{lines}"));
        }
        text
    }
}

/// Whether a file sets the value at `path` by itself at each boot: a line `vm.swappiness = …` of
/// sysctl.d(5), or a rule of udev(7) with `KERNEL` and `ATTR`.
pub fn sets(text: &str, path: &str) -> bool {
    let key = path
        .strip_prefix("/proc/sys/")
        .map(|key| key.replace('/', "."));
    text.lines().any(|line| match &key {
        Some(key) => line.split(" = ").next() == Some(key),
        None => {
            let device = line.split("KERNEL==\"").nth(1);
            let device = device.and_then(|rest| rest.split('"').next());
            let attributes = line.split("ATTR{").skip(1);
            let mut attributes = attributes.filter_map(|rest| rest.split('}').next());
            device.is_some_and(|device| {
                attributes.any(|attribute| path.ends_with(&format!("/{device}/{attribute}")))
            })
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# head\n# knob a\nx = 1\ny = 2\n# knob b\nz = 3\n";

    #[test]
    fn a_section_is_taken_out_and_the_rest_stays_as_it_is() {
        let sections = Sections::parse(TEXT);
        assert_eq!(sections.text(), TEXT);
        assert_eq!(sections.ids().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(sections.lines_of("a"), "x = 1\ny = 2\n");
        let rest = sections.without(&|id| id == "a");
        assert_eq!(rest.text(), "# head\n# knob b\nz = 3\n");
        assert!(rest.without(&|_| true).is_empty());
        assert!(Sections::parse("[Service]\nA=1\n").is_empty());
    }

    #[test]
    fn a_value_is_set_at_boot_by_a_whole_key_or_by_a_rule_for_its_device() {
        let sysctl = "vm.swappiness = 1\n";
        assert!(sets(sysctl, "/proc/sys/vm/swappiness"));
        assert!(!sets(sysctl, "/proc/sys/vm/swap"));
        let rule = "SUBSYSTEM==\"block\", KERNEL==\"sda\", ATTR{queue/scheduler}=\"none\", \
                    ATTR{queue/nomerges}=\"2\"\n";
        assert!(sets(rule, "/sys/block/sda/queue/nomerges"));
        assert!(!sets(rule, "/sys/block/sdb/queue/nomerges"));
        assert!(!sets(rule, "/sys/block/sda/queue/iostats"));
    }
}
