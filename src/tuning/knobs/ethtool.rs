//! What `ethtool` says of an interface, as values.
//!
//! Owns: reading its output. Never does: deciding what is wanted.

use crate::tuning::commands::{CommandError, Commands};

/// Where the settings in force begin, after those that the hardware could take.
const IN_FORCE: &str = "Current hardware settings:";

/// Queues of an interface: receiving and sending ones in pairs.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Channels {
    pub most: u32,
    pub current: u32,
    /// All of the settings in force, as printed.
    in_force: String,
}

impl Channels {
    /// What is printed for the settings in force once there are `count` pairs.
    pub(super) fn printed_with(&self, count: u32) -> String {
        let line = |line: &str| match line.split_once(':') {
            Some(("Combined", value)) => {
                let gap = &value[..value.len() - value.trim_start().len()];
                format!("Combined:{gap}{count}")
            }
            _ => line.to_owned(),
        };
        let lines: Vec<String> = self.in_force.trim_end().lines().map(line).collect();
        // Up to the end of the line: 4 must not pass for 40.
        lines.join("\n") + "\n"
    }
}

/// Why there is nothing to read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Silent {
    #[error(transparent)]
    Command(#[from] CommandError),
    #[error("the driver does not tell: {0}")]
    Driver(String),
}

/// Runs `ethtool <option> <nic>`.
pub(super) fn ask(commands: &dyn Commands, option: &str, nic: &str) -> Result<String, Silent> {
    let ran = commands.run("ethtool", &[option, nic])?;
    if ran.is_ok() {
        Ok(ran.output)
    } else {
        Err(Silent::Driver(ran.errors.trim().to_owned()))
    }
}

/// Reads `ethtool -l`. None where queues are not paired.
pub(super) fn channels(output: &str) -> Option<Channels> {
    let at = output.find(IN_FORCE)?;
    let (limits, in_force) = output.split_at(at);
    Some(Channels {
        most: number(limits, "Combined")?,
        current: number(in_force, "Combined")?,
        in_force: in_force.to_owned(),
    })
}

/// The number behind a name; none for `n/a`.
pub(super) fn number(output: &str, name: &str) -> Option<u32> {
    let mut lines = output.lines().map(str::trim);
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    value.trim().parse().ok()
}

/// Reads `Adaptive RX: on  TX: off` of `ethtool -c`; none where the driver has no such thing.
pub(super) fn adaptive(output: &str) -> Option<(&str, &str)> {
    let mut lines = output.lines().map(str::trim);
    let rest = lines.find_map(|line| line.strip_prefix("Adaptive RX:"))?;
    let (rx, tx) = rest.split_once("TX:")?;
    let known = |word: &&str| matches!(*word, "on" | "off");
    let rx = Some(rx.trim()).filter(known)?;
    Some((rx, tx.trim()))
}

/// Which queues the receive side spreads over, of `ethtool -x`: the highest number there.
pub(super) fn highest_ring(output: &str) -> Option<u32> {
    let table = output.lines().filter_map(|line| {
        let (index, rings) = line.trim().split_once(':')?;
        index.parse::<u32>().ok()?;
        rings
            .split_whitespace()
            .filter_map(|ring| ring.parse::<u32>().ok())
            .max()
    });
    table.max()
}

/// Whether `ethtool -k` says that a feature is on; none where it is fixed or unknown.
pub(super) fn feature(output: &str, name: &str) -> Option<bool> {
    let mut lines = output.lines().map(str::trim);
    let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    match value.trim() {
        "on" => Some(true),
        "off" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHANNELS: &str = "Channel parameters for ens1f0:\n\
        Pre-set maximums:\nRX:\t\tn/a\nTX:\t\tn/a\nOther:\t\tn/a\nCombined:\t63\n\
        Current hardware settings:\nRX:\t\tn/a\nTX:\t\tn/a\nOther:\t\tn/a\nCombined:\t40\n";

    #[test]
    fn channels_in_force_are_not_taken_for_the_most_there_can_be() {
        let channels = channels(CHANNELS).unwrap();
        assert_eq!((channels.most, channels.current), (63, 40));
        let wanted = channels.printed_with(4);
        // 40 starts with 4, and must not pass for it.
        assert!(!CHANNELS.contains(&wanted));
        assert!(wanted.ends_with("Combined:\t4\n"), "{wanted}");
        assert!(CHANNELS.contains(&channels.printed_with(40)));
    }

    #[test]
    fn what_a_driver_does_not_have_is_none() {
        assert_eq!(adaptive("Adaptive RX: n/a  TX: n/a\n"), None);
        assert_eq!(adaptive("Adaptive RX: on  TX: off\n"), Some(("on", "off")));
        assert_eq!(
            feature("ntuple-filters: off [fixed]\n", "ntuple-filters"),
            None
        );
        assert_eq!(number("rx-usecs: n/a\n", "rx-usecs"), None);
    }

    #[test]
    fn the_spread_is_read_from_the_table_and_not_from_the_key() {
        let output = "RX flow hash indirection table for eth0 with 4 RX ring(s):\n\
            \x20   0:      0     1     2     3\n    8:      0     1     2     3\n\
            RSS hash key:\n01:99:03\n";
        assert_eq!(highest_ring(output), Some(3));
    }
}
