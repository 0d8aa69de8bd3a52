//! Tables as these commands print them: columns with nothing but space between them.

use comfy_table::{Table, presets};

/// An empty table with these headings.
pub(super) fn plain(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(header);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}

/// A table without the spaces at the ends of its lines.
pub(super) fn trimmed(table: &Table) -> String {
    let lines: Vec<String> = table
        .to_string()
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect();
    lines.join("\n")
}
