//! `slc status`.

use std::fmt::Write;

use super::end::{End, Failed, put};
use super::journal::last_lines;
use super::list::{color, state_text};
use super::style::{Style, bytes, clean, span, state_color};
use super::{Supervisor, to_json, tree};
use crate::protocol::Request;
use crate::protocol::message::Statuses;
use crate::supervision::plan::runs_older;
use crate::supervision::status::{StateWord, Status};

/// Lines of the log that are shown.
const LOG_LINES: usize = 10;

/// Shows units. When units were named, the exit status tells whether all of them are alive, or
/// done as a oneshot should be.
pub(super) fn run(
    supervisor: &Supervisor,
    units: &[String],
    json: bool,
    style: &Style,
) -> Result<End, Failed> {
    let answer: Statuses = supervisor.ask(&Request::Status { units: units.to_vec() })?;
    if json {
        put(&to_json(&answer))?;
    } else {
        // Colours within a line would be cut by the width, so log lines go without.
        let plain = Style { color: false, ..style.clone() };
        let shown: Vec<String> = answer
            .services
            .iter()
            .map(|status| render(status, &last_lines(&status.log, LOG_LINES, &plain), style))
            .collect();
        let joined = shown.join("\n");
        put(if shown.is_empty() { "no services\n" } else { &joined })?;
    }
    let mut states = answer.services.iter().map(|status| status.summary.state);
    let well = |state: StateWord| state.is_alive() || state == StateWord::Done;
    let all_well = units.is_empty() || states.all(well);
    Ok(if all_well { End::Done } else { End::NotRunning })
}

/// All that is known of one service, with the last lines of its log, which are clean already.
#[must_use]
pub fn render(status: &Status, log: &[String], style: &Style) -> String {
    let mut out = String::with_capacity(1024);
    heading(&mut out, status, style);
    for (label, text) in facts(status) {
        let _ = writeln!(out, "  {label:<10} {}", clean(&text));
    }
    for limit in &status.missing_limits {
        let text = format!("not held: {}", clean(limit));
        let _ = writeln!(out, "  {:<10} {}", "Limit", style.paint(&text, "33"));
    }
    for (number, line) in status.findings.iter().flat_map(|text| text.lines().enumerate()) {
        let label = if number == 0 { "Finding" } else { "" };
        let _ = writeln!(out, "  {label:<10} {}", style.paint(&clean(line), "33"));
    }
    if status.processes > 0 {
        let _ = writeln!(out, "  {:<10} {}", "Processes", status.processes);
        tree::render(&mut out, &status.tree, status.processes, style);
    }
    if !log.is_empty() {
        let _ = writeln!(out, "\n  {:<10} {}", "Log", clean(&status.log));
        for line in log {
            let _ = writeln!(out, "  {}", style.fit(line, 2));
        }
    }
    out
}

/// "● nginx: A web server"
fn heading(out: &mut String, status: &Status, style: &Style) {
    let summary = &status.summary;
    let sign = match summary.state {
        StateWord::Failed => "×",
        StateWord::Down => "○",
        _ => "●",
    };
    let name = clean(&summary.name);
    // Writing to a String cannot fail.
    let _ = write!(
        out,
        "{} {}",
        style.paint(sign, state_color(summary.state)),
        style.paint(&name, "1")
    );
    if !summary.description.is_empty() {
        let _ = write!(out, ": {}", clean(&summary.description));
    }
    let since = format!(
        "for {}, since {}",
        span(style.now.saturating_sub(summary.since), 2),
        style.local(summary.since)
    );
    let text = state_text(summary);
    let state = style.paint(&text, color(summary));
    let _ = writeln!(out, "\n  {:<10} {state} {since}", "State");
}

/// What there is to say, line by line; what there is not is left out.
fn facts(status: &Status) -> Vec<(&'static str, String)> {
    let summary = &status.summary;
    let mut facts = Vec::new();
    let mut say = |label, text: String| {
        if !text.is_empty() {
            facts.push((label, text));
        }
    };
    say("Why", summary.why.clone());
    say("Waits for", status.waiting_for.join(", "));
    say("Health", status.health_text.clone());
    say("Says", status.status_text.clone());
    say("Unit", format!("{} ({})", status.source, status.kind));
    for (number, drop_in) in status.drop_ins.iter().enumerate() {
        say(if number == 0 { "Drop-in" } else { "" }, drop_in.clone());
    }
    if !status.older_keys.is_empty() {
        say("Changes", runs_older(&status.older_keys));
    }
    say("Start", start(status));
    say("Trigger", status.triggered_by.clone().unwrap_or_default());
    if summary.state.is_alive() {
        say("Main", main_process(status));
    }
    say("Last exit", status.last_exit.clone());
    say("Last stop", status.last_stop.clone());
    say("Leaf", status.leaf.clone().unwrap_or_default());
    say("CPU", status.cpu_usec.map(cpu_time).unwrap_or_default());
    say("Memory", status.memory_bytes.map(bytes).unwrap_or_default());
    for stuck in tree::stuck(&status.tree, summary.state) {
        say("Stuck", stuck);
    }
    facts
}

fn start(status: &Status) -> String {
    let wanted = if status.summary.wanted { "" } else { ", not wanted up" };
    // Who reads "number 2" would take it for a second start.
    let hooks = if status.hooks_are_numbered { ", hooks included" } else { "" };
    match (status.start, status.summary.restarts) {
        (0, _) => format!("never{wanted}"),
        (number, 0) => format!("number {number}{hooks}{wanted}"),
        (number, 1) => format!("number {number}{hooks}, 1 restart{wanted}"),
        (number, restarts) => format!("number {number}{hooks}, {restarts} restarts{wanted}"),
    }
}

fn main_process(status: &Status) -> String {
    match (status.summary.main_pid, status.first_pid) {
        (Some(pid), _) => pid.to_string(),
        (None, Some(first)) => format!("no main process (first process {first})"),
        (None, None) => "no main process".to_owned(),
    }
}

/// Milliseconds matter below a minute.
fn cpu_time(micros: u64) -> String {
    let millis = micros / 1_000;
    match millis {
        0..1_000 => format!("{millis} ms"),
        1_000..60_000 => format!("{}.{:03} s", millis / 1_000, millis % 1_000),
        _ => span(millis, 3),
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::super::style::Style;
    use super::render;
    use crate::supervision::status::{HealthWord, ProcessStatus, StateWord, Status, Summary};

    fn style() -> Style {
        Style { color: false, width: None, now: 1_795_378_428_007, zone: TimeZone::UTC }
    }

    fn process(pid: u32, depth: u32, age: u64, command: &str) -> ProcessStatus {
        ProcessStatus {
            pid,
            inner_pid: None,
            parent: 1,
            depth,
            age,
            state: "S".into(),
            command: command.into(),
            adopted: false,
            main: false,
            wait_channel: String::new(),
        }
    }

    fn nginx() -> Status {
        let mut tree = vec![
            process(1234, 0, 192_000, "nginx: master process /usr/sbin/nginx"),
            process(1240, 1, 191_000, "nginx: worker process"),
            process(12500, 2, 2_000, "sh -c\t'echo \u{1b}[2J'"),
            process(1241, 1, 191_000, "nginx: worker process"),
            process(1300, 0, 900, "[cat]"),
        ];
        (tree[0].main, tree[0].adopted) = (true, true);
        (tree[3].state, tree[3].wait_channel) = ("D".into(), "rpc_wait_bit_killable".into());
        Status {
            summary: Summary {
                name: "nginx".into(),
                description: "A web server".into(),
                state: StateWord::Up,
                health: None,
                since: 1_795_378_236_007,
                wanted: true,
                why: "ready".into(),
                main_pid: Some(1234),
                restarts: 2,
            },
            source: "/etc/yml-services/nginx.yml".into(),
            drop_ins: vec![
                "/etc/yml-services/nginx.yml.d/a.yml".into(),
                "/run/yml-services/nginx.yml.d/b\u{1b}.yml".into(),
            ],
            triggered_by: Some("a connection to *:80".into()),
            kind: "auto".into(),
            start: 3,
            hooks_are_numbered: false,
            first_pid: None,
            leaf: Some("/sys/fs/cgroup/treeward/services/nginx/3".into()),
            status_text: "5 requests\r\nfake: line".into(),
            health_text: String::new(),
            last_exit: "killed by SIGSEGV".into(),
            last_stop: String::new(),
            waiting_for: vec![],
            older_keys: vec!["command".into()],
            missing_limits: vec!["memory: 512 MiB: the controller is not here".into()],
            findings: vec!["web.yml:1:1: command: x\n    1 | x\n      | ^".into()],
            cpu_usec: Some(1_234_567),
            memory_bytes: Some(12_897_484),
            processes: 7,
            tree,
            log: "/var/log/treeward/nginx.log".into(),
        }
    }

    #[test]
    fn a_living_service_shows_all_that_is_known() {
        let log = ["2026-11-22 20:10:36.007 hello".to_owned()];
        let shown = render(&nginx(), &log, &style());
        assert_eq!(
            shown,
            "\
● nginx: A web server
  State      up for 3 min 12 s, since 2026-11-22 20:10:36
  Why        ready
  Says       5 requests\\x0d\\x0afake: line
  Unit       /etc/yml-services/nginx.yml (auto)
  Drop-in    /etc/yml-services/nginx.yml.d/a.yml
             /run/yml-services/nginx.yml.d/b\\x1b.yml
  Changes    runs an older unit: command changes at the next start
  Start      number 3, 2 restarts
  Trigger    a connection to *:80
  Main       1234
  Last exit  killed by SIGSEGV
  Leaf       /sys/fs/cgroup/treeward/services/nginx/3
  CPU        1.234 s
  Memory     12.2 MiB
  Limit      not held: memory: 512 MiB: the controller is not here
  Finding    web.yml:1:1: command: x
                 1 | x
                   | ^
  Processes  7
  ├─ 1234         3 min 12 s  nginx: master process /usr/sbin/nginx  [main, adopted]
  │  ├─ 1240      3 min 11 s  nginx: worker process
  │  │  └─ 12500         2 s  sh -c 'echo \\x1b[2J'
  │  └─ 1241      3 min 11 s  nginx: worker process  [waits in the kernel: rpc_wait_bit_killable]
  └─ 1300             900 ms  [cat]
  and 2 more

  Log        /var/log/treeward/nginx.log
  2026-11-22 20:10:36.007 hello
"
        );
    }

    #[test]
    fn a_process_that_outlives_the_kill_is_named() {
        let mut status = nginx();
        status.summary.state = StateWord::Killing;
        let line = "\n  Stuck      1241 waits in the kernel (rpc_wait_bit_killable) and cannot end \
                    before that does\n";
        assert!(render(&status, &[], &style()).contains(line));
        status.summary.state = StateWord::Stopping;
        assert!(!render(&status, &[], &style()).contains("Stuck"));
        status.tree[3].state = "t".into();
        assert!(render(&status, &[], &style()).contains("Stuck      1241 is held by a tracer"));
    }

    #[test]
    fn one_that_is_unhealthy_says_what_its_check_said() {
        let mut status = nginx();
        status.summary.health = Some(HealthWord::Unhealthy);
        status.health_text = "3 failures in a row; exit status 1: no route".into();
        let shown = render(&status, &[], &style());
        assert!(shown.contains("\n  State      up, unhealthy for 3 min 12 s"), "{shown}");
        let line = "\n  Health     3 failures in a row; exit status 1: no route\n";
        assert!(shown.contains(line), "{shown}");
    }

    #[test]
    fn a_service_that_is_down_says_little() {
        let mut status = nginx();
        status.summary.state = StateWord::Down;
        status.summary.wanted = false;
        status.summary.why.clear();
        (status.status_text, status.last_exit) = (String::new(), String::new());
        status.older_keys.clear();
        (status.leaf, status.cpu_usec, status.memory_bytes) = (None, None, None);
        (status.processes, status.tree, status.missing_limits) = (0, vec![], vec![]);
        status.findings = vec![];
        (status.drop_ins, status.triggered_by) = (vec![], None);
        status.last_stop = "3 processes gone in 12 ms".into();
        assert_eq!(
            render(&status, &[], &style()),
            "\
○ nginx: A web server
  State      down for 3 min 12 s, since 2026-11-22 20:10:36
  Unit       /etc/yml-services/nginx.yml (auto)
  Start      number 3, 2 restarts, not wanted up
  Last stop  3 processes gone in 12 ms
"
        );
    }

    #[test]
    fn a_number_that_hooks_have_moved_on_says_so() {
        let status = Status { hooks_are_numbered: true, ..nginx() };
        let line = "  Start      number 3, hooks included, 2 restarts\n";
        assert!(render(&status, &[], &style()).contains(line));
    }

    #[test]
    fn an_ambiguous_main_process_is_said_to_be_none() {
        let mut status = nginx();
        status.summary.main_pid = None;
        assert!(render(&status, &[], &style()).contains("  Main       no main process\n"));
        status.first_pid = Some(77);
        let line = "  Main       no main process (first process 77)\n";
        assert!(render(&status, &[], &style()).contains(line));
    }

    #[test]
    fn on_a_terminal_no_line_of_the_tree_is_wider_and_notes_are_kept() {
        let style = Style { width: Some(70), ..style() };
        let mut status = nginx();
        status.tree[3].wait_channel.clear();
        let shown = render(&status, &[], &style);
        let row = "  ├─ 1234         3 min 12 s  nginx: master process …  [main, adopted]";
        assert!(shown.contains(row), "{shown}");
        let tree = shown.lines().filter(|line| line.contains("─ "));
        assert!(tree.map(|line| line.chars().count()).all(|width| width <= 70), "{shown}");
        status.tree = (0..60).map(|n| process(100 + n, n, 192_000, "sh -c sh -c sh")).collect();
        let shown = render(&status, &[], &style);
        let tree = shown.lines().filter(|line| line.contains("─ "));
        assert!(tree.map(|line| line.chars().count()).all(|width| width <= 70), "{shown}");
    }

    #[test]
    fn what_is_deeper_than_there_is_room_for_is_no_sibling() {
        let style = Style { width: Some(18), ..style() };
        let mut status = nginx();
        status.processes = 5;
        let deep = |(pid, depth)| process(pid, depth, 2_000, "sh");
        status.tree = [(1, 0), (2, 3), (3, 4), (4, 6), (5, 1)].map(deep).into();
        let shown = render(&status, &[], &style);
        let tree = "
  └─ 1              2 s  sh
     │     ├─ 2     2 s  sh
     │     ├─ +1 3  2 s  sh
     │     └─ +3 4  2 s  sh
     └─ 5           2 s  sh
  (+N: N levels deeper than there is room for)
";
        assert!(shown.contains(tree), "{shown}");
    }
}
