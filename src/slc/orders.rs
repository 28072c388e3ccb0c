//! `slc start`, `stop`, `restart`, `reload` and `kill`.

use std::fmt::Write;

use nix::sys::signal::Signal;

use super::args::Order;
use super::end::{End, Failed, complain, complain_lines, put};
use super::style::clean;
use super::{Supervisor, to_json};
pub(super) use crate::protocol::Verb;
use crate::protocol::message::{Outcomes, Reread, Signalled};
use crate::protocol::{Request, Who};
use crate::supervision::status::Outcome;

/// Gives an order and says for each unit what became of it.
pub(super) fn run(supervisor: &Supervisor, verb: Verb, order: &Order) -> Result<End, Failed> {
    let request = Request::Order { verb, units: order.units.clone(), wait: !order.no_wait };
    let answer: Outcomes = supervisor.order(&request)?;
    let all_done = answer.outcomes.iter().all(|outcome| outcome.done);
    if order.json {
        put(&to_json(&answer))?;
    } else {
        let (done, failed): (Vec<_>, Vec<_>) =
            answer.outcomes.iter().partition(|outcome| outcome.done);
        put(&done.into_iter().map(line).collect::<String>())?;
        for outcome in failed {
            complain(line(outcome).trim_end());
        }
    }
    Ok(if all_done { End::Done } else { End::Failed })
}

/// "nginx: up"
fn line(outcome: &Outcome) -> String {
    let message = match outcome.message.as_str() {
        "" => outcome.state.as_str(),
        message => message,
    };
    format!("{}: {}\n", clean(&outcome.unit), clean(message))
}

/// Lets the supervisor read the unit files again. Files that cannot be used are a failure.
pub(super) fn reread(supervisor: &Supervisor, json: bool) -> Result<End, Failed> {
    let answer: Reread = supervisor.ask(&Request::ReadUnits)?;
    put(&if json { to_json(&answer) } else { render_reread(&answer) })?;
    if !json {
        for problem in &answer.problems {
            complain_lines(&problem.text);
        }
    }
    Ok(if answer.problems.is_empty() { End::Done } else { End::Failed })
}

fn render_reread(answer: &Reread) -> String {
    let mut out = String::new();
    let kinds =
        [("added", &answer.added), ("changed", &answer.changed), ("removed", &answer.removed)];
    for (word, units) in kinds {
        if !units.is_empty() {
            // Writing to a String cannot fail.
            let _ = writeln!(out, "{word}: {}", clean(&units.join(" ")));
        }
    }
    if out.is_empty() {
        out.push_str("nothing changed\n");
    }
    out
}

/// Sends a signal and says how many processes got it.
pub(super) fn kill(
    supervisor: &Supervisor,
    unit: &str,
    signal: i32,
    who: Who,
) -> Result<End, Failed> {
    let request = Request::Kill { unit: unit.to_owned(), signal, who };
    let Signalled { signalled } = supervisor.ask(&request)?;
    let name = Signal::try_from(signal)
        .map_or_else(|_| format!("signal {signal}"), |signal| signal.as_str().to_owned());
    let processes = if signalled == 1 { "process" } else { "processes" };
    put(&format!("{}: {name} sent to {signalled} {processes}\n", clean(unit)))
}

#[cfg(test)]
mod tests {
    use super::{line, render_reread};
    use crate::protocol::message::Reread;
    use crate::supervision::status::{Outcome, StateWord};

    #[test]
    fn an_outcome_without_a_message_says_its_state() {
        let mut outcome = Outcome {
            unit: "nginx".into(),
            done: true,
            state: StateWord::Up,
            message: String::new(),
        };
        assert_eq!(line(&outcome), "nginx: up\n");
        outcome.message = "stopped, 3 processes gone in 12 ms".into();
        assert_eq!(line(&outcome), "nginx: stopped, 3 processes gone in 12 ms\n");
    }

    #[test]
    fn reading_the_units_again_says_what_changed() {
        let mut answer = Reread {
            added: vec!["a".into(), "b".into()],
            changed: vec![],
            removed: vec!["c".into()],
            problems: vec![],
        };
        assert_eq!(render_reread(&answer), "added: a b\nremoved: c\n");
        (answer.added, answer.removed) = (vec![], vec![]);
        assert_eq!(render_reread(&answer), "nothing changed\n");
    }
}
