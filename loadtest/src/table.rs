//! Tables as Markdown and HTML: rows of cells, with the headings in the first row.

use crate::report::escape;

/// A row of headings, from a text with `|` between them.
pub fn heads(heads: &str) -> Vec<String> {
    heads.split('|').map(str::to_owned).collect()
}

pub fn markdown(rows: &[Vec<String>]) -> String {
    let mut text = String::new();
    for (index, row) in rows.iter().enumerate() {
        let cells: Vec<_> = row.iter().map(|cell| cell.replace('|', "\\|")).collect();
        text += &format!("| {} |\n", cells.join(" | "));
        if index == 0 {
            text += &format!("|{}\n", "---|".repeat(row.len()));
        }
    }
    text
}

/// As HTML. Columns of numbers are right-aligned, and verdicts have a colour.
pub fn html(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let is_number =
        |cell: &String| cell.is_empty() || cell.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '–');
    // The first column is the name of its row, even if it begins with a number.
    let numbers: Vec<bool> = (0..columns)
        .map(|column| column > 0 && rows.iter().skip(1).filter_map(|row| row.get(column)).all(is_number))
        .collect();
    let mut text = "<table>".to_owned();
    for (index, row) in rows.iter().enumerate() {
        let element = if index == 0 { "th" } else { "td" };
        let cells: String = row
            .iter()
            .zip(&numbers)
            .map(|(cell, number)| {
                let class = match (cell.as_str(), number) {
                    (_, true) => " class=n",
                    (cell, false) if cell.starts_with("met") => " class=ok",
                    ("missed", false) => " class=bad",
                    (_, false) => "",
                };
                format!("<{element}{class}>{}</{element}>", escape(cell))
            })
            .collect();
        text += &format!("<tr>{cells}</tr>");
    }
    text + "</table>"
}

/// A whole number with thousands separators.
pub fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value <= -0.5 { format!("-{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_markdown_and_html() {
        let rows = [heads("a|b"), vec!["x|y".to_owned(), "<1>".to_owned()]];
        assert_eq!(markdown(&rows), "| a | b |\n|---|---|\n| x\\|y | <1> |\n");
        assert_eq!(
            html(&rows),
            "<table><tr><th>a</th><th>b</th></tr><tr><td>x|y</td><td>&lt;1&gt;</td></tr></table>"
        );
    }

    #[test]
    fn thousands_stand_apart() {
        assert_eq!(
            [0.0, 999.0, 1000.0, -1_234_567.0].map(grouped),
            ["0", "999", "1,000", "-1,234,567"]
        );
    }
}
