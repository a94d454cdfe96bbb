//! How tools print: tables for people, JSON for scripts, failures for both.

use std::io::{self, IsTerminal, Write};

use serde_json::Value;

use crate::client::ClientError;

/// Width that tables keep to on a terminal.
const COLUMNS: usize = 100;
/// Narrowest that a column is cut to.
const COLUMN_MIN: usize = 8;

/// Why a tool ends before its work is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Something failed; what, where, what to do.
    Failed(String),
    /// Said already, or nobody reads any more.
    Quiet(u8),
}

impl From<io::Error> for Failure {
    /// Standard output failed: a reader that went away has all it wants.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Quiet(0),
            _ => Self::Failed(format!("cannot write to standard output: {error}")),
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Failed(match &error {
            ClientError::Unreachable { at, why } if why.kind() == io::ErrorKind::ConnectionRefused => {
                format!(
                    "nobody listens on {at}; start a broker with `mainspring serve`, or name another with --namesrv HOST:PORT"
                )
            }
            ClientError::Unreachable { .. } => format!("{error}; check --namesrv HOST:PORT"),
            ClientError::Lost { .. } => format!("{error}; the broker may have stopped, see its log"),
            ClientError::Malformed(_) => {
                format!("{error}; is it a broker's name service that listens there?")
            }
            ClientError::Refused { code: 3, .. } => {
                format!("{error}; this command needs a mainspring broker")
            }
            ClientError::Refused { .. } => error.to_string(),
        })
    }
}

/// What a tool prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Aligned columns and lines, for people
    Table,
    /// One JSON object a line, for scripts
    Json,
}

/// The option that all tools share.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Output {
    /// What to print
    #[arg(short = 'o', long = "output", value_enum, default_value = "table", value_name = "FORMAT")]
    pub(crate) format: Format,
}

impl Output {
    pub(crate) fn is_json(self) -> bool {
        self.format == Format::Json
    }
}

/// Writes a line to standard output.
pub(crate) fn line(text: impl AsRef<str>) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_ref().as_bytes())?;
    Ok(out.write_all(b"\n").and_then(|()| out.flush())?)
}

/// Writes a JSON object as one line.
pub(crate) fn json(value: &Value) -> Result<(), Failure> {
    line(value.to_string())
}

/// A table: a head, and rows of as many cells.
#[derive(Debug)]
pub(crate) struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A head that starts with `>` is of a column of numbers, which stand to the right.
    pub(crate) fn new(head: &[&'static str]) -> Self {
        Self { head: head.to_vec(), rows: Vec::new() }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Prints it; on a terminal, cut to its usual width.
    pub(crate) fn print(&self) -> Result<(), Failure> {
        let columns = if io::stdout().is_terminal() { COLUMNS } else { usize::MAX };
        self.lines(columns).into_iter().try_for_each(line)
    }

    fn lines(&self, columns: usize) -> Vec<String> {
        let names: Vec<&str> = self.head.iter().map(|name| name.trim_start_matches('>')).collect();
        let width = |i: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(i));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0).max(names[i].len())
        };
        let mut widths: Vec<usize> = (0..names.len()).map(width).collect();
        // The widest text gives way first; numbers stay whole.
        while widths.iter().sum::<usize>() + 2 * widths.len().saturating_sub(1) > columns {
            let texts =
                (0..widths.len()).filter(|i| !self.head[*i].starts_with('>') && widths[*i] > COLUMN_MIN);
            let Some(widest) = texts.max_by_key(|i| widths[*i]) else { break };
            widths[widest] -= 1;
        }
        let format = |cells: &[&str]| {
            let mut text = String::new();
            for (i, cell) in cells.iter().enumerate() {
                let (cell, width) = (cut(cell, widths[i]), widths[i]);
                match self.head[i].starts_with('>') {
                    true => text.push_str(&format!("{cell:>width$}  ")),
                    false => text.push_str(&format!("{cell:<width$}  ")),
                }
            }
            text.trim_end().to_owned()
        };
        let rows = self.rows.iter().map(|row| format(&row.iter().map(String::as_str).collect::<Vec<_>>()));
        std::iter::once(format(&names)).chain(rows).collect()
    }
}

/// The first `width` characters; the last is a mark where some are missing.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['~']).collect()
}

/// A text without anything that moves a terminal.
pub(crate) fn plain(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

/// A number of bytes for people.
pub(crate) fn bytes(n: u64) -> String {
    let mut unit = 0;
    let mut rest = n;
    while rest >= 10 * 1024 && unit < 3 {
        rest /= 1024;
        unit += 1;
    }
    format!("{rest} {}", ["B", "KiB", "MiB", "GiB"][unit])
}

/// How far a long work is, on standard error, where somebody looks.
#[derive(Debug)]
pub(crate) struct Progress {
    shown: bool,
    last: u64,
}

impl Progress {
    pub(crate) fn start() -> Self {
        Self { shown: io::stderr().is_terminal(), last: u64::MAX }
    }

    pub(crate) fn bytes(&mut self, what: &str, done: u64, to_do: u64) {
        let percent = done.saturating_mul(100) / to_do.max(1);
        if self.shown && percent != self.last {
            self.last = percent;
            eprint!("\r{what} {} of {} ({percent} %)   ", bytes(done), bytes(to_do));
        }
    }

    pub(crate) fn text(&self, text: &str) {
        if self.shown {
            eprint!("\r{text}   ");
        }
    }

    /// Clears the line.
    pub(crate) fn end(&self) {
        if self.shown {
            eprint!("\r\u{1b}[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_give_way() {
        let mut table = Table::new(&["NAME", ">COUNT"]);
        table.row(["orders".into(), "7".into()]);
        table.row(["a-very-long-name-of-a-topic".into(), "12345".into()]);
        let lines = table.lines(usize::MAX);
        assert_eq!(lines[0], "NAME                         COUNT");
        assert_eq!(lines[1], "orders                           7");
        let lines = table.lines(24);
        assert_eq!(lines[2], "a-very-long-name~  12345");
        assert!(table.lines(3)[2].starts_with("a-very-~"), "numbers are never cut");
    }

    #[test]
    fn sizes_and_texts() {
        assert_eq!([0, 10_239, 10_240, 11 << 20].map(bytes), ["0 B", "10239 B", "10 KiB", "11 MiB"]);
        assert_eq!(plain("a\u{1b}[2J\tb\u{e4}"), "a\\u{1b}[2J\\tb\u{e4}");
    }
}
