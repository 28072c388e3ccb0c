//! `slc plot`: a picture of the boot.
//!
//! One file that needs nothing else. Colours follow the reader's choice of light or dark.

use std::fmt::Write;

use super::Supervisor;
use super::end::{End, Failed, put};
use super::style::{Style, clean};
use super::web::{self, Boot, exact};
use crate::protocol::message::Web;
use crate::supervision::nodes::Node;
use crate::supervision::status::StateWord;

/// The sizes of the picture, in pixels.
const MARGIN: u64 = 24;
const CHART: u64 = 880;
const ROW: u64 = 24;
const BAR: u64 = 14;
const TOP: u64 = 92;
/// The width of a letter of a name, about.
const LETTER: u64 = 8;
/// Room for the time that stands behind a bar.
const BEHIND: u64 = 90;

const STYLE: &str = "\
  text { font: 13px system-ui, 'DejaVu Sans', sans-serif; fill: #1f2328; }
  .title { font-size: 18px; font-weight: 600; }
  .quiet { fill: #59636e; font-size: 12px; }
  .took { font-size: 12px; }
  .paper { fill: #ffffff; }
  .stripe { fill: #f6f8fa; }
  .grid { stroke: #d1d9e0; stroke-width: 1; }
  .waiting { fill: #d4a72c; }
  .blocked { fill: #afb8c1; }
  .starting { fill: #0969da; }
  .up { fill: #aceebb; }
  .failed { fill: #cf222e; }
  @media (prefers-color-scheme: dark) {
    text { fill: #f0f6fc; }
    .quiet { fill: #9198a1; }
    .paper { fill: #0d1117; }
    .stripe { fill: #151b23; }
    .grid { stroke: #3d444d; }
    .waiting { fill: #bb8009; }
    .blocked { fill: #656c76; }
    .starting { fill: #4493f8; }
    .up { fill: #1f6f3a; }
    .failed { fill: #f85149; }
  }
";

/// Draws the boot.
pub(super) fn run(supervisor: &Supervisor, all: bool, style: &Style) -> Result<End, Failed> {
    let web = web::ask(supervisor)?;
    put(&draw(&web, all, style))
}

/// A bar: its class, and from when to when.
type Bar = (&'static str, u64, u64);

fn draw(web: &Web, all: bool, style: &Style) -> String {
    let mut boot = web::boot(web);
    if all {
        boot.nodes.append(&mut boot.later);
    }
    let picture = Picture::of(web, &boot);
    let mut out = picture.head(web, &boot, style);
    picture.axis(&mut out, boot.nodes.len() as u64);
    for (place, node) in boot.nodes.iter().enumerate() {
        picture.row(&mut out, place as u64, node);
    }
    picture.legend(&mut out, &boot);
    out.push_str("</svg>\n");
    out
}

/// What is where.
struct Picture {
    /// Where the chart begins.
    left: u64,
    width: u64,
    height: u64,
    zero: u64,
    now: u64,
    /// The time that the chart shows, in milliseconds.
    length: u64,
}

impl Picture {
    fn of(web: &Web, boot: &Boot<'_>) -> Self {
        let letters = boot.nodes.iter().map(|node| node.name.chars().count()).max().unwrap_or(0);
        let left = MARGIN + (letters.clamp(8, 40) as u64) * LETTER + 12;
        // The last word of each: up, begun, or still on its way, which is until now.
        let ends = boot.nodes.iter().map(|node| match (node.up, node.state) {
            (Some(up), _) => up,
            (None, StateWord::Starting | StateWord::Blocked | StateWord::Waiting) => web.now,
            (None, _) => node.since,
        });
        let last = ends.max().unwrap_or(boot.zero).saturating_sub(boot.zero);
        // A bit of what came after shows who stayed up.
        let length = (last + last / 12).max(10);
        let below = if boot.later.is_empty() { 46 } else { 70 };
        let height = TOP + boot.nodes.len() as u64 * ROW + below;
        let width = left + CHART + BEHIND + MARGIN;
        Self { left, width, height, zero: boot.zero, now: web.now, length }
    }

    /// Where a moment is, in tenths of a pixel so that short bars are not lost.
    fn x(&self, at: u64) -> f64 {
        let since = at.saturating_sub(self.zero).min(self.length);
        #[allow(clippy::cast_precision_loss, reason = "milliseconds of a boot")]
        let part = since as f64 / self.length as f64 * CHART as f64;
        self.left as f64 + (part * 10.0).round() / 10.0
    }

    fn head(&self, web: &Web, boot: &Boot<'_>, style: &Style) -> String {
        let (width, height) = (self.width, self.height);
        let count = boot.nodes.len();
        let up = boot.nodes.iter().filter_map(|node| node.up);
        let came = up.clone().count();
        let title = match up.max() {
            Some(last) if came == count => {
                format!("{count} units, all up after {}", exact(last.saturating_sub(self.zero)))
            }
            Some(last) => format!(
                "{count} units, {came} came up, the last after {}",
                exact(last.saturating_sub(self.zero))
            ),
            None => format!("{count} units, none is up"),
        };
        let began = web.wall.saturating_sub(web.now.saturating_sub(self.zero));
        let under = format!("0 is {}", style.local_millis(began));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
             viewBox=\"0 0 {width} {height}\" role=\"img\">\n<title>{title}</title>\n\
             <style>\n{STYLE}</style>\n\
             <rect class=\"paper\" width=\"{width}\" height=\"{height}\"/>\n\
             <text class=\"title\" x=\"{MARGIN}\" y=\"36\">{title}</text>\n\
             <text class=\"quiet\" x=\"{MARGIN}\" y=\"56\">{under}</text>\n"
        )
    }

    /// Lines at round times, between four and ten of them.
    fn axis(&self, out: &mut String, rows: u64) {
        let step = step(self.length);
        let (top, bottom) = (TOP - 8, TOP + rows * ROW);
        for row in (0..rows).step_by(2) {
            let y = TOP + row * ROW;
            // Writing to a String cannot fail.
            let _ = writeln!(
                out,
                "<rect class=\"stripe\" x=\"{MARGIN}\" y=\"{y}\" width=\"{}\" height=\"{ROW}\"/>",
                self.width - 2 * MARGIN
            );
        }
        for at in (0..=self.length / step).map(|tick| tick * step) {
            let x = self.x(self.zero + at);
            let _ = writeln!(
                out,
                "<line class=\"grid\" x1=\"{x}\" y1=\"{top}\" x2=\"{x}\" y2=\"{bottom}\"/>\
                 <text class=\"quiet\" x=\"{x}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                top - 4,
                round(at, step)
            );
        }
    }

    fn row(&self, out: &mut String, place: u64, node: &Node) {
        let y = TOP + place * ROW;
        let text = y + ROW / 2 + 5;
        let bars = bars(node, self.now);
        let _ = writeln!(
            out,
            "<g><title>{}</title>\n<text x=\"{}\" y=\"{text}\" text-anchor=\"end\">{}</text>",
            escape(&tooltip(node, self.zero)),
            self.left - 10,
            escape(&short(&node.name))
        );
        for (class, from, to) in &bars {
            let (from, to) = (self.x(*from), self.x(*to));
            let _ = writeln!(
                out,
                "<rect class=\"{class}\" x=\"{from}\" y=\"{}\" width=\"{:.1}\" height=\"{BAR}\" \
                 rx=\"2\"/>",
                y + (ROW - BAR) / 2,
                (to - from).max(1.5)
            );
        }
        // Behind the work, on the pale bar of being up or on paper.
        let (end, took) = label(node, self.now);
        let _ = writeln!(
            out,
            "<text class=\"took\" x=\"{:.1}\" y=\"{text}\">{took}</text>",
            self.x(end) + 6.0
        );
        out.push_str("</g>\n");
    }

    fn legend(&self, out: &mut String, boot: &Boot<'_>) {
        let y = TOP + boot.nodes.len() as u64 * ROW + 26;
        let mut x = self.left;
        for (class, words) in [
            ("waiting", "waiting: back-off"),
            ("blocked", "blocked: by others, or for its turn"),
            ("starting", "starting"),
            ("up", "up, or done"),
            ("failed", "did not come up"),
        ] {
            let _ = writeln!(
                out,
                "<rect class=\"{class}\" x=\"{x}\" y=\"{}\" width=\"14\" height=\"{BAR}\" rx=\"2\"/>\
                 <text class=\"quiet\" x=\"{}\" y=\"{y}\">{words}</text>",
                y - 11,
                x + 20
            );
            x += 20 + words.len() as u64 * 6 + 28;
        }
        if !boot.later.is_empty() {
            let mut room: usize = 100;
            let mut fits = |name: &String| {
                room = room.saturating_sub(name.chars().count() + 2);
                room > 0
            };
            let names = boot.later.iter().map(|node| short(&node.name));
            let names: Vec<String> = names.take_while(&mut fits).collect();
            let more = match boot.later.len().saturating_sub(names.len()) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            let text = format!("started later, not drawn: {}{more}", names.join(", "));
            let _ = writeln!(
                out,
                "<text class=\"quiet\" x=\"{}\" y=\"{}\">{}</text>",
                self.left,
                y + 24,
                escape(&text)
            );
        }
    }
}

/// What a unit did, one after the other.
fn bars(node: &Node, now: u64) -> Vec<Bar> {
    let rests = match node.state {
        StateWord::Up | StateWord::Reloading | StateWord::Done => now,
        StateWord::Starting => now,
        StateWord::Down
        | StateWord::Blocked
        | StateWord::Waiting
        | StateWord::Stopping
        | StateWord::Killing
        | StateWord::Failed => node.since,
    };
    let (Some(due), Some(free), Some(began)) = (node.due, node.free, node.began) else {
        return vec![("blocked", node.since, now)];
    };
    let works = match (node.up, node.state) {
        (Some(_), _) | (None, StateWord::Starting) => "starting",
        (None, _) => "failed",
    };
    let until = node.up.unwrap_or_else(|| rests.max(began));
    let mut bars = vec![("waiting", due, free), ("blocked", free, began), (works, began, until)];
    bars.extend(node.up.map(|up| ("up", up, rests.max(up))));
    bars.retain(|(class, from, to)| to > from || *class == works);
    bars
}

/// Where the text of a unit stands, and what it says: the time that it took, or where it has come to.
fn label(node: &Node, now: u64) -> (u64, String) {
    match (node.began, node.up, node.state) {
        (Some(began), Some(up), _) => (up, exact(up.saturating_sub(began))),
        (None, ..) | (_, None, StateWord::Starting) => (now, node.state.to_string()),
        (Some(began), None, state) => (node.since.max(began), state.to_string()),
    }
}

fn tooltip(node: &Node, zero: u64) -> String {
    let at = |moment: Option<u64>| match moment {
        Some(at) => exact(at.saturating_sub(zero)),
        None => "-".to_owned(),
    };
    let waited = match (&node.waited_for, node.waited_turn) {
        (Some(other), _) => format!(", waited for {other}"),
        (None, true) => ", waited for its turn".to_owned(),
        (None, false) => String::new(),
    };
    let (due, began, up) = (at(node.due), at(node.began), at(node.up));
    let what = if node.description.is_empty() { "" } else { ": " };
    format!(
        "{}{what}{}\n{}, type {}; due at {due}{waited}; began at {began}; up at {up}",
        node.name, node.description, node.state, node.kind
    )
}

/// A round step of which four to ten fit.
fn step(length: u64) -> u64 {
    let mut step = 1;
    for factor in [2, 5, 10].into_iter().cycle() {
        if length / step <= 10 {
            return step;
        }
        // 1, 2, 5, 10, 20, 50: each the last round number times 2 or 2.5.
        step = if factor == 5 { step / 2 * 5 } else { step * 2 };
    }
    step
}

fn round(at: u64, step: u64) -> String {
    match (at, step) {
        (0, _) => "0".to_owned(),
        (at, 1_000..) => format!("{} s", at / 1_000),
        (1_000.., 100..) => format!("{}.{} s", at / 1_000, at % 1_000 / 100),
        (at, _) => format!("{at} ms"),
    }
}

/// A name that fits.
fn short(name: &str) -> String {
    match name.char_indices().nth(40) {
        None => name.to_owned(),
        Some(_) => name.chars().take(39).chain(['…']).collect(),
    }
}

/// Text for XML, without control characters.
fn escape(text: &str) -> String {
    let lines: Vec<String> = text.lines().map(|line| clean(line).into_owned()).collect();
    let text = lines.join("\n");
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::super::chain::tests::{node, plain, web};
    use super::{bars, draw, label, round, step};
    use crate::supervision::status::StateWord;

    #[test]
    fn the_picture_is_well_formed_and_names_every_unit_of_the_boot() {
        let mut web = web();
        web.units[0].description = "<&\"\u{1b}[2J".into();
        let drawn = draw(&web, false, &plain());
        for name in ["cron", "db", "net", "web"] {
            assert!(drawn.contains(&format!(">{name}</text>")), "{name}: {drawn}");
        }
        assert!(drawn.contains("4 units, all up after 2.500 s"), "{drawn}");
        assert!(drawn.contains("started later, not drawn: much-later"), "{drawn}");
        assert!(drawn.contains("cron: &lt;&amp;&quot;\\x1b[2J") && !drawn.contains('\u{1b}'));
        for (open, close) in [("<g>", "</g>"), ("<text", "</text>"), ("<title>", "</title>")] {
            assert_eq!(drawn.matches(open).count(), drawn.matches(close).count(), "{open}");
        }
        for at in 0..40 {
            let mut late = web.units.last().expect("much-later").clone();
            late.name = format!("much-later-with-a-long-name-{at}");
            web.units.push(late);
        }
        let drawn = draw(&web, false, &plain());
        let line = drawn.lines().find(|line| line.contains("started later")).expect("the line");
        assert!(line.contains(" and 38 more</text>") && line.len() < 200, "{line}");
        web.units.truncate(5);
        let all = draw(&web, true, &plain());
        assert!(all.contains(">much-later</text>") && !all.contains("not drawn"));
    }

    #[test]
    fn bars_follow_each_other_and_a_failure_is_seen() {
        let mut failed = node("a", (100, 300, 400), None);
        failed.free = Some(200);
        let all = [("waiting", 100, 200), ("blocked", 200, 300), ("starting", 300, 400)];
        assert_eq!(bars(&failed, 900), [&all[..], &[("up", 400, 900)]].concat());
        (failed.up, failed.state, failed.since) = (None, StateWord::Failed, 500);
        assert_eq!(bars(&failed, 900)[2], ("failed", 300, 500));
        assert_eq!(label(&failed, 900), (500, "failed".into()));
        failed.state = StateWord::Starting;
        assert_eq!(bars(&failed, 900)[2], ("starting", 300, 900));
        assert_eq!(label(&failed, 900), (900, "starting".into()));
        (failed.due, failed.state) = (None, StateWord::Blocked);
        assert_eq!(bars(&failed, 900), [("blocked", 500, 900)]);
        failed.began = None;
        assert_eq!(label(&failed, 900), (900, "blocked".into()));
    }

    #[test]
    fn the_axis_has_round_steps() {
        for (length, expected) in
            [(10, 1), (11, 2), (40, 5), (100, 10), (999, 100), (2_700, 500), (70_000, 10_000)]
        {
            assert_eq!(step(length), expected, "{length}");
        }
        let shown = [(0, 500), (500, 500), (1_500, 500), (20, 10), (12_000, 2_000)];
        let shown = shown.map(|(at, step)| round(at, step));
        assert_eq!(shown, ["0", "500 ms", "1.5 s", "20 ms", "12 s"]);
    }
}
