//! Aligned columns for people. Rows arrive in batches: the first batch decides the widths, later ones may only widen
//! their own line, so that a list of any length needs the memory of one page.

use super::error::CliError;
use super::output::{Output, harmless};

/// Columns with their headings.
pub(crate) struct TextTable<const N: usize> {
    headings: [&'static str; N],
    widths: Option<[usize; N]>,
}

impl<const N: usize> TextTable<N> {
    /// A table that has printed nothing yet; without rows it never does.
    pub(crate) fn new(headings: [&'static str; N]) -> Self {
        Self { headings, widths: None }
    }

    /// Prints a batch of rows.
    pub(crate) fn rows(&mut self, output: &mut Output, rows: &[[String; N]]) -> Result<(), CliError> {
        if rows.is_empty() {
            return Ok(());
        }
        let rows: Vec<[String; N]> =
            rows.iter().map(|row| std::array::from_fn(|column| shown(&row[column]))).collect();
        let widths = match self.widths {
            Some(widths) => widths,
            None => {
                let widths = self.measure(&rows);
                output.line(aligned(&self.headings, &widths))?;
                self.widths = Some(widths);
                widths
            }
        };
        for row in &rows {
            let cells: [&str; N] = std::array::from_fn(|column| row[column].as_str());
            output.line(aligned(&cells, &widths))?;
        }
        Ok(())
    }

    /// Whether nothing was printed.
    pub(crate) fn is_empty(&self) -> bool {
        self.widths.is_none()
    }

    fn measure(&self, rows: &[[String; N]]) -> [usize; N] {
        std::array::from_fn(|column| {
            let longest = rows.iter().map(|row| row[column].chars().count()).max();
            longest.unwrap_or(0).max(self.headings[column].len())
        })
    }
}

/// Labels and their values, one a line, aligned.
pub(crate) fn fields(output: &mut Output, fields: &[(&str, String)]) -> Result<(), CliError> {
    let width = fields.iter().map(|(label, _)| label.len()).max().unwrap_or(0) + 1;
    for (label, value) in fields {
        output.line(format!("{:<width$} {}", format!("{label}:"), shown(value)).trim_end())?;
    }
    Ok(())
}

fn shown(cell: &str) -> String {
    if cell.is_empty() { "-".to_owned() } else { harmless(cell).into_owned() }
}

fn aligned<const N: usize>(cells: &[&str; N], widths: &[usize; N]) -> String {
    let mut line = String::new();
    for (cell, width) in cells.iter().zip(widths) {
        line.push_str(&format!("{cell:<width$}  "));
    }
    line.truncate(line.trim_end().len());
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_have_no_blanks_at_their_end() {
        assert_eq!(aligned(&["a", "bb", "c"], &[3, 2, 9]), "a    bb  c");
        assert_eq!(aligned(&["", "bb", ""], &[3, 2, 9]), "     bb");
    }
}
