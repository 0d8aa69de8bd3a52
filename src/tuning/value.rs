//! Values as the kernel takes and gives them.
//!
//! Owns: whether what a file holds is the value that was written to it. Never does: I/O.

/// The value that a reading stands for and that may be written back: the chosen one where the kernel
/// shows all that there are (`always [madvise] never`), else all of it.
pub fn selected(reading: &str) -> &str {
    let reading = reading.trim();
    let chosen = reading
        .split_whitespace()
        .find_map(|word| word.strip_prefix('[')?.strip_suffix(']'));
    chosen.unwrap_or(reading)
}
