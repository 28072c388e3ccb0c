//! `slc plot`: a picture of the boot.
//!
//! One file that needs nothing else. Colours follow the reader's choice of light or dark.

mod row;

use std::fmt::Write;

use self::row::{Row, bars, label, tooltip};
use super::Supervisor;
use super::end::{End, Failed, put};
use super::style::{Style, clean};
use super::web::{self, Boot, exact};
use crate::protocol::message::Web;

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
  svg { background: #ffffff; }
  text { font: 13px system-ui, 'DejaVu Sans', sans-serif; fill: #1f2328; }
  .title { font-size: 18px; font-weight: 600; }
  .quiet { fill: #59636e; font-size: 12px; }
  .guest { font-style: italic; }
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
    svg { background: #0d1117; }
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

fn draw(web: &Web, all: bool, style: &Style) -> String {
    let mut boot = web::boot(web);
    let title = title(&boot);
    if all {
        boot.nodes.append(&mut boot.later);
    }
    let mut rows: Vec<Row<'_>> =
        boot.nodes.iter().map(|node| Row { node, is_of_boot: true }).collect();
    rows.extend(boot.meanwhile.iter().map(|node| Row { node, is_of_boot: false }));
    rows.sort_by_key(|row| (row.node.due.unwrap_or(row.node.since), row.node.began));
    let picture = Picture::of(web, &boot, rows.len() as u64);
    let mut out = picture.head(web, &boot, &title, style);
    picture.axis(&mut out);
    for (place, row) in rows.iter().enumerate() {
        picture.row(&mut out, place as u64, row);
    }
    picture.legend(&mut out, &boot);
    out.push_str("</svg>\n");
    out
}

/// How far the boot has come.
fn title(boot: &Boot<'_>) -> String {
    let count = boot.nodes.len();
    let units = format!("{count} unit{}", if count == 1 { "" } else { "s" });
    let up = boot.nodes.iter().filter_map(|node| node.up);
    let (came, last) = (up.clone().count(), up.max());
    let on_their_way = boot.nodes.iter().filter(|node| web::settled(node).is_none()).count();
    let after = last.map(|last| exact(last.saturating_sub(boot.zero))).unwrap_or_default();
    let mut title = match came {
        0 if count == 0 => return "Nothing was started by the boot".to_owned(),
        0 => format!("{units}, none is up"),
        came if came == count => format!("{units}, all up after {after}"),
        came => format!("{units}, {came} up after {after}"),
    };
    for (some, words) in
        [(count - came - on_their_way, "did not come up"), (on_their_way, "on their way")]
    {
        if some > 0 {
            let _ = write!(title, ", {some} {words}");
        }
    }
    title
}

/// What is where.
struct Picture {
    /// Where the chart begins.
    left: u64,
    width: u64,
    height: u64,
    rows: u64,
    zero: u64,
    now: u64,
    /// The time that the chart shows, in milliseconds.
    length: u64,
}

impl Picture {
    fn of(web: &Web, boot: &Boot<'_>, rows: u64) -> Self {
        let drawn = boot.nodes.iter().chain(&boot.meanwhile);
        let letters = drawn.map(|node| node.name.chars().count()).max().unwrap_or(0);
        let left = MARGIN + (letters.clamp(8, 40) as u64) * LETTER + 12;
        let ends = boot.nodes.iter().map(|node| web::settled(node).or(node.began).unwrap_or(0));
        let last = ends.max().unwrap_or(0).max(boot.zero);
        // One that is on its way for hours leaves the others their room.
        let on_its_way = boot.nodes.iter().any(|node| web::settled(node).is_none());
        let last = if on_its_way { web.now.min(last + web::QUIET) } else { last };
        let last = last.saturating_sub(boot.zero);
        // A bit of what came after shows who stayed up.
        let length = (last + last / 12).max(10);
        let below = if boot.later.is_empty() { 46 } else { 70 };
        let height = TOP + rows * ROW + below;
        let width = left + CHART + BEHIND + MARGIN;
        Self { left, width, height, rows, zero: boot.zero, now: web.now, length }
    }

    /// Where a moment is, in tenths of a pixel so that short bars are not lost.
    fn x(&self, at: u64) -> f64 {
        let since = at.saturating_sub(self.zero).min(self.length);
        #[allow(clippy::cast_precision_loss, reason = "milliseconds of a boot")]
        let part = since as f64 / self.length as f64 * CHART as f64;
        self.left as f64 + (part * 10.0).round() / 10.0
    }

    fn head(&self, web: &Web, boot: &Boot<'_>, title: &str, style: &Style) -> String {
        let (width, height) = (self.width, self.height);
        let began = web.wall.saturating_sub(web.now.saturating_sub(self.zero));
        let guests = match boot.meanwhile.len() {
            0 => "",
            _ => "; in italics: started meanwhile, but not by the boot",
        };
        let under = format!("0 is {}{guests}", style.local_millis(began));
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
    fn axis(&self, out: &mut String) {
        let (step, rows) = (step(self.length), self.rows);
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

    fn row(&self, out: &mut String, place: u64, row: &Row<'_>) {
        let node = row.node;
        let y = TOP + place * ROW;
        let text = y + ROW / 2 + 5;
        let bars = bars(node, self.now);
        let _ = writeln!(
            out,
            "<g><title>{}</title>\n<text class=\"{}\" x=\"{}\" y=\"{text}\" text-anchor=\"end\">{}</text>",
            escape(&tooltip(node, self.zero)),
            if row.is_of_boot { "name" } else { "name guest" },
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
        let y = TOP + self.rows * ROW + 26;
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
    use super::{draw, round, step};
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

    #[test]
    fn who_was_not_started_by_the_boot_is_no_part_of_its_title() {
        let mut web = web();
        for (at, name) in [(1_500, "guest"), (99_000, "hours-later")] {
            let mut other = node(name, (at, at, at + 4_000), None);
            other.origin = Some("triggered".into());
            other.triggered_by = Some("its timer, daily".into());
            web.units.push(other);
        }
        let drawn = draw(&web, false, &plain());
        assert!(drawn.contains("4 units, all up after 2.500 s<"), "{drawn}");
        assert!(
            drawn.contains("name guest") && drawn.contains("started by its timer, daily</title>")
        );
        assert!(drawn.contains("not drawn: much-later, hours-later<"), "{drawn}");
        let failed = &mut web.units[0];
        (failed.up, failed.state) = (None, StateWord::Failed);
        let on_its_way = &mut web.units[3];
        (on_its_way.up, on_its_way.state) = (None, StateWord::Starting);
        let drawn = draw(&web, false, &plain());
        let title = "4 units, 2 up after 2.450 s, 1 did not come up, 1 on their way<";
        assert!(drawn.contains(title), "{drawn}");
        // Ten seconds of the hours for which it has been on its way.
        assert!(drawn.contains(">12 s<") && !drawn.contains(">14 s<"), "{drawn}");
        web.units.retain(|node| node.origin.as_deref() == Some("triggered"));
        let drawn = draw(&web, false, &plain());
        assert!(drawn.contains("Nothing was started by the boot<"), "{drawn}");
        assert!(draw(&web, true, &plain()).contains(">guest</text>"));
    }
}
