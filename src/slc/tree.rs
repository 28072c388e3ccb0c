//! The process tree of a status.

use std::fmt::Write;

use super::style::{Style, clean, span};
use crate::supervision::status::{ProcessStatus, StateWord};

/// Draws the tree: branches and PID, age, command line, and what is special. `count` is how many
/// processes there are; those that were not described are counted at the end.
pub(super) fn render(out: &mut String, tree: &[ProcessStatus], count: u64, style: &Style) {
    let deepest = deepest(style);
    let branches = branches(tree, deepest);
    let rows: Vec<(String, String)> = tree
        .iter()
        .zip(&branches)
        .map(|(process, branch)| {
            let further = match beyond(process, deepest) {
                0 => String::new(),
                levels => format!("+{levels} "),
            };
            (format!("{branch}{further}{}", pids_of(process)), span(process.age, 2))
        })
        .collect();
    let widest = |column: fn(&(String, String)) -> &String| {
        rows.iter().map(|row| column(row).chars().count()).max().unwrap_or(0)
    };
    let (pids, ages) = (widest(|row| &row.0), widest(|row| &row.1));
    for ((pid, age), process) in rows.iter().zip(tree) {
        let notes = notes(process);
        let used = 2 + pids + 2 + ages + 2 + notes.chars().count();
        let command = clean(&process.command);
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "  {pid:pids$}  {age:>ages$}  {}{}",
            style.fit(&command, used),
            style.paint(&notes, if process.main { "32" } else { "33" }),
        );
    }
    if tree.iter().any(|process| beyond(process, deepest) > 0) {
        out.push_str("  (+N: N levels deeper than there is room for)\n");
    }
    let more = count.saturating_sub(tree.len() as u64);
    if more > 0 && !tree.is_empty() {
        let _ = writeln!(out, "  and {more} more");
    }
}

/// "812", or "812 (1 inside)" in a pid namespace of its own.
fn pids_of(process: &ProcessStatus) -> String {
    match process.inner_pid {
        Some(inner) => format!("{} ({inner} inside)", process.pid),
        None => process.pid.to_string(),
    }
}

/// The greatest depth that is drawn; what is deeper stands there, too, and says by how much. Half of
/// a terminal is left for ages and commands, and more than forty steps would not fit on any screen.
fn deepest(style: &Style) -> usize {
    style.width.map_or(40, |width| (width / 2 / 3).clamp(1, 40))
}

/// How many levels below the deepest that is drawn.
fn beyond(process: &ProcessStatus, deepest: usize) -> usize {
    usize::try_from(process.depth).unwrap_or(usize::MAX).saturating_sub(deepest)
}

/// What stands before each PID. The tree comes as it is walked, so a process is the last of its
/// siblings when nothing of its depth follows before something less deep: going backwards, a
/// depth is open while a later process hangs on it.
fn branches(tree: &[ProcessStatus], deepest: usize) -> Vec<String> {
    let mut open = vec![false; deepest + 1];
    let mut branches: Vec<String> = tree
        .iter()
        .rev()
        .map(|process| {
            let depth = usize::try_from(process.depth).unwrap_or(deepest).min(deepest);
            let above = open[..depth].iter().map(|open| if *open { "│  " } else { "   " });
            let own = if open[depth] { "├─ " } else { "└─ " };
            let branch = above.chain([own]).collect();
            open[depth] = true;
            open[depth + 1..].fill(false);
            branch
        })
        .collect();
    branches.reverse();
    branches
}

/// "  [main, adopted]"
fn notes(process: &ProcessStatus) -> String {
    let mut notes = Vec::new();
    if process.main {
        notes.push("main".to_owned());
    }
    if process.adopted {
        notes.push("adopted".to_owned());
    }
    match process.state.as_str() {
        "Z" => notes.push("zombie".to_owned()),
        "T" => notes.push("stopped".to_owned()),
        "t" => notes.push("traced".to_owned()),
        "D" if process.wait_channel.is_empty() => notes.push("waits in the kernel".to_owned()),
        "D" => notes.push(format!("waits in the kernel: {}", clean(&process.wait_channel))),
        _ => {}
    }
    if notes.is_empty() { String::new() } else { format!("  [{}]", notes.join(", ")) }
}

/// A sentence for each process that keeps its service from ending: it was killed and still waits in
/// the kernel, or is asked to end and held by a tracer. Any process waits in the kernel now and
/// then, for a disk or a child: that alone is a note in the tree.
pub(super) fn stuck(tree: &[ProcessStatus], state: StateWord) -> Vec<String> {
    let is_killed = state == StateWord::Killing;
    let is_ending = is_killed || state == StateWord::Stopping;
    let waits = tree.iter().filter(|process| !process.wait_channel.is_empty());
    waits
        .filter_map(|process| {
            let ProcessStatus { pid, wait_channel, .. } = process;
            match process.state.as_str() {
                "D" if is_killed => Some(format!(
                    "{pid} waits in the kernel ({wait_channel}) and cannot end before that does"
                )),
                "t" if is_ending => Some(format!("{pid} is held by a tracer ({wait_channel})")),
                _ => None,
            }
        })
        .collect()
}
