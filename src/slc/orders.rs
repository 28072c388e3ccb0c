//! `slc start`, `stop`, `restart`, `reload UNIT` and `kill`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::sys::signal::Signal;

use super::args::Order;
use super::end::{End, Failed, complain, put};
use super::style::clean;
use super::{Supervisor, to_json};
pub(super) use crate::protocol::Verb;
use crate::protocol::client::{Client, ClientError};
use crate::protocol::message::{Outcomes, Signalled, Statuses};
use crate::protocol::{Request, Who};
use crate::supervision::status::Outcome;

/// Times of the supervisor are converted from one clock to another, and rounded, in milliseconds.
const CLOCK_STEP: u64 = 2;

/// Gives an order and says for each unit what became of it.
pub(super) fn run(supervisor: &Supervisor, verb: Verb, order: &Order) -> Result<End, Failed> {
    let request = Request::Order { verb, units: order.units.clone(), wait: !order.no_wait };
    let asked_at = wall_ms();
    let answer: Outcomes = match supervisor.order(&request) {
        Err(ClientError::HungUp) => give_again(supervisor, verb, order, asked_at)?,
        Err(error @ ClientError::Silent { .. }) => {
            return Err(Failed::Late { error, units: order.units.clone() });
        }
        answer => answer?,
    };
    if !order.json {
        return tell(verb, &answer);
    }
    put(&to_json(&answer))?;
    Ok(end_of(verb, &answer))
}

/// What does not run cannot read its configuration again: scripts want to tell that from a failure.
fn end_of(verb: Verb, answer: &Outcomes) -> End {
    let mut failed = answer.outcomes.iter().filter(|outcome| !outcome.done).peekable();
    if failed.peek().is_none() {
        return End::Done;
    }
    let only_rest = failed.all(|outcome| !outcome.state.is_alive());
    if verb == Verb::Reload && only_rest { End::NotRunning } else { End::Failed }
}

/// Says for each unit what became of an order.
pub(super) fn tell(verb: Verb, answer: &Outcomes) -> Result<End, Failed> {
    let (done, failed): (Vec<_>, Vec<_>) = answer.outcomes.iter().partition(|outcome| outcome.done);
    put(&done.into_iter().map(line).collect::<String>())?;
    for outcome in &failed {
        complain(line(outcome).trim_end());
    }
    Ok(end_of(verb, answer))
}

/// The supervisor went away before it answered: the next one is asked. An order that was carried
/// out does no harm when it is given again, but for a restart: units that came up after it was
/// given only have to be waited for.
fn give_again(
    supervisor: &Supervisor,
    verb: Verb,
    order: &Order,
    asked_at: u64,
) -> Result<Outcomes, Failed> {
    loop {
        complain("the supervisor went away before it answered; the next one is asked");
        let (mut client, _) = supervisor.wait_for_next()?;
        match ask_next(&mut client, supervisor.timeout, (verb, order), asked_at) {
            Err(ClientError::HungUp) => {}
            answer => return Ok(answer?),
        }
    }
}

fn ask_next(
    client: &mut Client,
    timeout: Option<Duration>,
    (verb, order): (Verb, &Order),
    asked_at: u64,
) -> Result<Outcomes, ClientError> {
    let wait = !order.no_wait;
    let request = |verb, units| Request::Order { verb, units, wait };
    if verb != Verb::Restart {
        return client.call(&request(verb, order.units.clone()), timeout);
    }
    let status = Request::Status { units: order.units.clone() };
    let now: Statuses = client.call(&status, timeout)?;
    let (begun, lost): (Vec<_>, Vec<_>) = now
        .services
        .into_iter()
        .map(|service| service.summary)
        .partition(|summary| summary.since + CLOCK_STEP >= asked_at);
    let mut outcomes = Vec::new();
    for (verb, some) in [(Verb::Start, begun), (Verb::Restart, lost)] {
        let units: Vec<String> = some.into_iter().map(|summary| summary.name).collect();
        if !units.is_empty() {
            let answer: Outcomes = client.call(&request(verb, units), timeout)?;
            outcomes.extend(answer.outcomes);
        }
    }
    Ok(Outcomes { outcomes })
}

/// "nginx: up"
fn line(outcome: &Outcome) -> String {
    let message = match outcome.message.as_str() {
        "" => outcome.state.as_str(),
        message => message,
    };
    format!("{}: {}\n", clean(&outcome.unit), clean(message))
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

/// Milliseconds since the Unix epoch.
fn wall_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::line;
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
}
