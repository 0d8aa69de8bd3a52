//! A set of CPUs, in the two forms in which the kernel writes it: lists (`0-3,8`) and hexadecimal
//! masks (`1,0000010f`).
//!
//! Owns: reading and writing both, and set algebra. Never does: knowing which CPUs there are. Runs
//! on: any thread.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::ids::CpuId;

/// The most CPUs that a kernel can be built for on x86 (`CONFIG_NR_CPUS_RANGE_END`); higher numbers
/// are refused, so that no text makes a set of any size.
const CPUS_MAX: usize = 8192;

const WORD_BITS: usize = u64::BITS as usize;

/// Bits in one word of a mask as the kernel prints it.
const MASK_WORD_BITS: usize = 32;

/// Digits in one full word of a mask.
const MASK_WORD_DIGITS: usize = 8;

/// CPUs by number. Two sets are equal where they hold the same CPUs, however long the texts were
/// that they were read from.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct CpuSet {
    /// Bit n of word m is CPU 64·m + n. The last word is never zero.
    words: Vec<u64>,
}

/// What a text was read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CpuSetForm {
    /// `0-3,8`
    List,
    /// `ff,ffffffff`
    Mask,
}

impl fmt::Display for CpuSetForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CpuSetForm::List => "list of CPUs",
            CpuSetForm::Mask => "CPU mask",
        })
    }
}

/// Why a text is no set of CPUs.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CpuSetError {
    /// Something else was expected at a byte.
    #[error("'{text}' is no {form}: byte {at} is {found}; expected: {expected}")]
    Unexpected {
        /// All of it.
        text: String,
        /// What it was read as.
        form: CpuSetForm,
        /// Where, counted from 0.
        at: usize,
        /// What is there.
        found: String,
        /// What may be there.
        expected: &'static str,
    },
    /// A number that no kernel has.
    #[error("'{text}' is no {form}: the CPU named at byte {at} is above {}", CPUS_MAX - 1)]
    TooHigh {
        /// All of it.
        text: String,
        /// What it was read as.
        form: CpuSetForm,
        /// Where, counted from 0.
        at: usize,
    },
    /// A range that ends before it starts.
    #[error("'{text}' is no list of CPUs: the range at byte {at} ends before it starts")]
    Backwards {
        /// All of it.
        text: String,
        /// Where, counted from 0.
        at: usize,
    },
}

impl CpuSet {
    /// The empty set.
    pub fn new() -> CpuSet {
        CpuSet::default()
    }

    /// Reads a list as the kernel writes it (Documentation/admin-guide/kernel-parameters.rst,
    /// "cpu lists"): numbers and ranges with commas between them. Empty text is the empty set, and
    /// so is `(null)`, which the kernel prints for a set that was never made.
    ///
    /// # Errors
    /// Anything else; the error names the byte.
    pub fn parse_list(text: &str) -> Result<CpuSet, CpuSetError> {
        let list = text.trim();
        let mut set = CpuSet::new();
        if list.is_empty() || list == "(null)" {
            return Ok(set);
        }
        let mut reader = ListReader {
            text,
            at: text.len() - text.trim_start().len(),
            end: text.trim_end().len(),
        };
        loop {
            let start = reader.at;
            let first = reader.number()?;
            let last = if reader.take(b'-') {
                reader.number()?
            } else {
                first
            };
            if last < first {
                let text = text.to_owned();
                return Err(CpuSetError::Backwards { text, at: start });
            }
            for cpu in first..=last {
                set.insert(CpuId(cpu));
            }
            if reader.at == reader.end {
                return Ok(set);
            }
            if !reader.take(b',') {
                return Err(reader.unexpected("a digit, '-', ',' or the end"));
            }
        }
    }

    /// Reads a mask as the kernel writes it: hexadecimal words of 32 bits, the highest first, with
    /// commas between them. Leading zeros and words say nothing, a word without digits (`1,,0`) is
    /// zero, and `0x` before a word is skipped, as other tools write both. Empty text is the empty
    /// set.
    ///
    /// # Errors
    /// Anything else; the error names the byte.
    pub fn parse_mask(text: &str) -> Result<CpuSet, CpuSetError> {
        let mut set = CpuSet::new();
        let mut end = text.trim_end().len();
        let start = text.len() - text.trim_start().len();
        let mut first_cpu = 0;
        while start <= end {
            let word_start = text[..end].rfind(',').map_or(start, |comma| comma + 1);
            set.add_mask_word(text, word_start, end, first_cpu)?;
            first_cpu += MASK_WORD_BITS;
            match word_start.checked_sub(1) {
                Some(comma) if word_start > start => end = comma,
                _ => break,
            }
        }
        Ok(set)
    }

    fn add_mask_word(
        &mut self,
        text: &str,
        start: usize,
        end: usize,
        first_cpu: usize,
    ) -> Result<(), CpuSetError> {
        let word = &text[start..end];
        let digits = word.strip_prefix("0x").unwrap_or(word);
        let digits_start = end - digits.len();
        for (index, character) in digits.char_indices() {
            let at = digits_start + index;
            let left = digits.len() - index;
            let unexpected = |expected| CpuSetError::Unexpected {
                text: text.to_owned(),
                form: CpuSetForm::Mask,
                at,
                found: format!("'{character}'"),
                expected,
            };
            let digit = character.to_digit(16);
            let digit = digit.ok_or_else(|| unexpected("a hexadecimal digit or ','"))?;
            // The first word may be longer, as where somebody left the commas out.
            if left > MASK_WORD_DIGITS && text[..start].contains(',') {
                return Err(unexpected("at most eight digits between commas"));
            }
            for bit in (0..4).filter(|bit| digit & (1 << bit) != 0) {
                let cpu = first_cpu + (left - 1) * 4 + bit;
                if cpu >= CPUS_MAX {
                    return Err(CpuSetError::TooHigh {
                        text: text.to_owned(),
                        form: CpuSetForm::Mask,
                        at,
                    });
                }
                self.insert(CpuId(cpu as u16));
            }
        }
        Ok(())
    }

    /// The mask as the kernel prints it on a machine with `cpus` possible CPUs: padded with zeros to
    /// that width, or to that of the highest CPU in the set.
    pub fn to_mask(&self, cpus: usize) -> String {
        let highest = self.iter().last().map_or(0, |cpu| cpu.index() + 1);
        let width = cpus.max(highest).max(1);
        let mut mask = String::new();
        for word in (0..width.div_ceil(MASK_WORD_BITS)).rev() {
            let bits = (width - word * MASK_WORD_BITS).min(MASK_WORD_BITS);
            let shift = word % 2 * MASK_WORD_BITS;
            let value = self.words.get(word / 2).map_or(0, |pair| pair >> shift) as u32;
            let digits = bits.div_ceil(4);
            mask.push_str(&format!("{value:0digits$x}"));
            if word > 0 {
                mask.push(',');
            }
        }
        mask
    }

    /// Adds a CPU; says whether it was not in the set before.
    pub fn insert(&mut self, cpu: CpuId) -> bool {
        let (word, bit) = (cpu.index() / WORD_BITS, 1 << (cpu.index() % WORD_BITS));
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        let is_new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        is_new
    }

    /// Whether a CPU is in the set.
    pub fn contains(&self, cpu: CpuId) -> bool {
        let word = self.words.get(cpu.index() / WORD_BITS);
        word.is_some_and(|word| word & (1 << (cpu.index() % WORD_BITS)) != 0)
    }

    /// The CPUs, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = CpuId> + Clone {
        self.words.iter().enumerate().flat_map(|(index, word)| {
            (0..WORD_BITS)
                .filter(move |bit| word & (1 << bit) != 0)
                .map(move |bit| CpuId((index * WORD_BITS + bit) as u16))
        })
    }

    /// The lowest CPU.
    pub fn first(&self) -> Option<CpuId> {
        self.iter().next()
    }

    /// Number of CPUs.
    pub fn len(&self) -> usize {
        self.words
            .iter()
            .map(|word| word.count_ones() as usize)
            .sum()
    }

    /// Whether there is no CPU in it.
    pub fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    /// The CPUs in either.
    pub fn union(&self, other: &CpuSet) -> CpuSet {
        self.combine(other, |a, b| a | b)
    }

    /// The CPUs in both.
    pub fn intersection(&self, other: &CpuSet) -> CpuSet {
        self.combine(other, |a, b| a & b)
    }

    /// The CPUs in this one and not in the other.
    pub fn difference(&self, other: &CpuSet) -> CpuSet {
        self.combine(other, |a, b| a & !b)
    }

    /// Whether the other has all CPUs of this one.
    pub fn is_subset(&self, other: &CpuSet) -> bool {
        self.difference(other).is_empty()
    }

    fn combine(&self, other: &CpuSet, with: impl Fn(u64, u64) -> u64) -> CpuSet {
        let word = |set: &CpuSet, index| set.words.get(index).copied().unwrap_or(0);
        let len = self.words.len().max(other.words.len());
        let mut words: Vec<u64> = (0..len)
            .map(|index| with(word(self, index), word(other, index)))
            .collect();
        while words.last() == Some(&0) {
            words.pop();
        }
        CpuSet { words }
    }
}

impl FromIterator<CpuId> for CpuSet {
    fn from_iter<I: IntoIterator<Item = CpuId>>(cpus: I) -> CpuSet {
        let mut set = CpuSet::new();
        for cpu in cpus {
            set.insert(cpu);
        }
        set
    }
}

impl FromStr for CpuSet {
    type Err = CpuSetError;

    fn from_str(text: &str) -> Result<CpuSet, CpuSetError> {
        CpuSet::parse_list(text)
    }
}

/// The list, as the kernel writes it; nothing for the empty set.
impl fmt::Display for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = String::new();
        let mut cpus = self.iter().map(CpuId::index).peekable();
        while let Some(first) = cpus.next() {
            let mut last = first;
            while let Some(next) = cpus.next_if_eq(&(last + 1)) {
                last = next;
            }
            if !list.is_empty() {
                list.push(',');
            }
            list.push_str(&first.to_string());
            if last > first {
                list.push_str(&format!("-{last}"));
            }
        }
        f.pad(&list)
    }
}

impl fmt::Debug for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{self}}}")
    }
}

impl Serialize for CpuSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CpuSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<CpuSet, D::Error> {
        let list = String::deserialize(deserializer)?;
        CpuSet::parse_list(&list).map_err(serde::de::Error::custom)
    }
}

/// A list while it is read.
struct ListReader<'a> {
    text: &'a str,
    at: usize,
    end: usize,
}

impl ListReader<'_> {
    fn take(&mut self, byte: u8) -> bool {
        let is_there = self.at < self.end && self.text.as_bytes()[self.at] == byte;
        self.at += usize::from(is_there);
        is_there
    }

    fn number(&mut self) -> Result<u16, CpuSetError> {
        let start = self.at;
        let mut number = 0;
        while self.at < self.end && self.text.as_bytes()[self.at].is_ascii_digit() {
            number = number * 10 + usize::from(self.text.as_bytes()[self.at] - b'0');
            if number >= CPUS_MAX {
                return Err(CpuSetError::TooHigh {
                    text: self.text.to_owned(),
                    form: CpuSetForm::List,
                    at: start,
                });
            }
            self.at += 1;
        }
        if self.at == start {
            return Err(self.unexpected("a digit"));
        }
        Ok(number as u16)
    }

    fn unexpected(&self, expected: &'static str) -> CpuSetError {
        let found = self.text[self.at..self.end].chars().next();
        CpuSetError::Unexpected {
            text: self.text.to_owned(),
            form: CpuSetForm::List,
            at: self.at,
            found: found.map_or("the end".to_owned(), |found| format!("'{found}'")),
            expected,
        }
    }
}

#[cfg(test)]
mod tests;
