//! What the commands print: tables and colours on a terminal, plain text
//! elsewhere.

use std::io::IsTerminal as _;

use gitops_apply::health::HealthStatus;
use gitops_apply::reconcile::{AppStatus, ConditionKind, SyncStatus};
use gitops_apply::report::ResultCode;

/// Whether standard output is a terminal that wants colours.
pub fn wants_color() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// A colour, as its terminal code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Color {
    /// Good.
    Green,
    /// Bad.
    Red,
    /// On its way, or worth a look.
    Yellow,
    /// Not of interest now.
    Dim,
    /// A heading.
    Bold,
}

impl Color {
    fn code(self) -> &'static str {
        match self {
            Color::Green => "32",
            Color::Red => "31",
            Color::Yellow => "33",
            Color::Dim => "2",
            Color::Bold => "1",
        }
    }
}

/// A screen that knows whether it may use colours.
#[derive(Clone, Copy, Debug)]
pub struct Screen {
    /// Whether it may.
    pub color: bool,
}

impl Screen {
    /// Standard output.
    pub fn stdout() -> Self {
        Screen {
            color: wants_color(),
        }
    }

    /// The text in a colour.
    pub fn paint(&self, text: &str, color: Color) -> String {
        if self.color {
            format!("\x1b[{}m{text}\x1b[0m", color.code())
        } else {
            text.to_owned()
        }
    }

    /// A sync status in its colour.
    pub fn sync(&self, status: SyncStatus) -> String {
        let color = match status {
            SyncStatus::Synced => Color::Green,
            SyncStatus::OutOfSync => Color::Yellow,
            SyncStatus::Unknown => Color::Red,
        };
        self.paint(status.name(), color)
    }

    /// A health in its colour.
    pub fn health(&self, status: HealthStatus) -> String {
        let color = match status {
            HealthStatus::Healthy => Color::Green,
            HealthStatus::Degraded | HealthStatus::Unknown => Color::Red,
            _ => Color::Yellow,
        };
        self.paint(status.name(), color)
    }

    /// Rows in columns as wide as they need to be. The first row is the
    /// heading.
    pub fn table(&self, rows: &[Vec<String>]) -> String {
        let mut widths: Vec<usize> = Vec::new();
        for row in rows {
            for (index, cell) in row.iter().enumerate() {
                let width = visible(cell);
                match widths.get_mut(index) {
                    Some(known) => *known = (*known).max(width),
                    None => widths.push(width),
                }
            }
        }
        let mut out = String::new();
        for (number, row) in rows.iter().enumerate() {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(cell);
                line.push_str(&" ".repeat(width - visible(cell) + 2));
            }
            let line = line.trim_end();
            if number == 0 {
                out.push_str(&self.paint(line, Color::Bold));
            } else {
                out.push_str(line);
            }
            out.push('\n');
        }
        out
    }

    /// One line on how an application fares, and its conditions below it.
    pub fn status(&self, status: &AppStatus) -> String {
        let revision = status.revisions.first().map_or("", |revision| revision);
        let mut out = format!(
            "{}  {}  {}  {}\n",
            self.paint(&status.app, Color::Bold),
            self.sync(status.sync),
            self.health(status.health.status),
            self.paint(revision.get(..7).unwrap_or(revision), Color::Dim),
        );
        if let Some(report) = &status.operation {
            out.push_str(&format!("  {report}\n"));
            for result in &report.results {
                if result.status == ResultCode::SyncFailed {
                    let text = format!("{}: {}", result.key, result.message);
                    out.push_str(&format!("  {}\n", self.paint(&text, Color::Red)));
                }
            }
        }
        // What failed in an operation stands above.
        let above =
            |kind: ConditionKind| kind == ConditionKind::SyncError && status.operation.is_some();
        for condition in status.conditions.iter().filter(|it| !above(it.kind)) {
            let color = match condition.kind {
                ConditionKind::Warning => Color::Yellow,
                _ => Color::Red,
            };
            let text = format!("{:?}: {}", condition.kind, condition.message);
            out.push_str(&format!("  {}\n", self.paint(&text, color)));
        }
        out
    }
}

/// How wide a text is on the screen, colours aside.
fn visible(text: &str) -> usize {
    let mut width = 0;
    let mut escape = false;
    for c in text.chars() {
        match c {
            '\x1b' => escape = true,
            'm' if escape => escape = false,
            _ if escape => {}
            _ => width += 1,
        }
    }
    width
}
