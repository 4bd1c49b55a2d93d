//! Aligned columns for people. Rows arrive in batches: the first batch decides the widths, and a longer cell later shifts only its
//! own line, so that a list of any length needs the memory of one page.

use super::error::CliError;
use super::output::{Output, escape_control};

/// A table that is printed as its rows arrive.
pub(crate) struct TextTable<const N: usize> {
    headings: [&'static str; N],
    widths: Option<[usize; N]>,
}

impl<const N: usize> TextTable<N> {
    /// A table that prints its headings with the first rows, and nothing if there are none.
    pub(crate) fn new(headings: [&'static str; N]) -> Self {
        Self { headings, widths: None }
    }

    /// Prints a batch of rows.
    pub(crate) fn rows(
        &mut self,
        output: &mut Output,
        rows: impl IntoIterator<Item = [String; N]>,
    ) -> Result<(), CliError> {
        let rows: Vec<[String; N]> =
            rows.into_iter().map(|row| std::array::from_fn(|column| display_cell(&row[column]))).collect();
        // An empty page says nothing of the widths that the next one needs.
        if rows.is_empty() {
            return Ok(());
        }
        let widths = match self.widths {
            Some(widths) => widths,
            None => {
                let widths = self.measure(&rows);
                output.line(align(&self.headings, &widths))?;
                self.widths = Some(widths);
                widths
            }
        };
        for row in &rows {
            let cells: [&str; N] = std::array::from_fn(|column| row[column].as_str());
            output.line(align(&cells, &widths))?;
        }
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.widths.is_none()
    }

    fn measure(&self, rows: &[[String; N]]) -> [usize; N] {
        std::array::from_fn(|column| {
            // Characters, as the padding of `format!` counts them: bytes would misalign every name with an accent.
            let longest = rows.iter().map(|row| row[column].chars().count()).max();
            longest.unwrap_or(0).max(self.headings[column].len())
        })
    }
}

/// Prints labels and their values, one pair on a line, aligned.
pub(crate) fn print_fields(output: &mut Output, fields: &[(&str, String)]) -> Result<(), CliError> {
    let width = fields.iter().map(|(label, _)| label.len()).max().unwrap_or(0) + 1;
    for (label, value) in fields {
        output.line(format!("{:<width$} {}", format!("{label}:"), display_cell(value)).trim_end())?;
    }
    Ok(())
}

/// The cell of a value that may be absent.
pub(crate) fn cell(value: Option<impl ToString>) -> String {
    value.map(|value| value.to_string()).unwrap_or_default()
}

fn display_cell(cell: &str) -> String {
    // An empty cell would shift the columns for `awk` and `cut`.
    if cell.is_empty() { "-".to_owned() } else { escape_control(cell).into_owned() }
}

fn align<const N: usize>(cells: &[&str; N], widths: &[usize; N]) -> String {
    let mut line = String::new();
    for (cell, width) in cells.iter().zip(widths) {
        line.push_str(&format!("{cell:<width$}  "));
    }
    // The last column needs no padding, and blanks at the end would wrap on a narrow terminal.
    line.truncate(line.trim_end().len());
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_have_no_blanks_at_their_end() {
        assert_eq!(align(&["a", "bb", "c"], &[3, 2, 9]), "a    bb  c");
        assert_eq!(align(&["", "bb", ""], &[3, 2, 9]), "     bb");
    }
}
