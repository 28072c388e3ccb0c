//! What holds for everything that a service can tell the supervisor, or one supervisor the next.

use super::adopt::orphan;
use super::news::parse_notice;
use super::perform::parse_pid;
use super::records::parse_record;
use crate::supervision::name::UnitName;
use crate::supervision::supervisor::Supervisor;
use crate::supervision::unit::{Kind, Unit};
use crate::supervision::{Event, Moment, Order, Role};

/// Some time after boot, in milliseconds.
const NOW: Moment = 100_000_000;

/// Reads a PID file: one decimal number above 1 between blanks, and nothing else.
pub fn pid_file(input: &[u8]) {
    let blank = |byte: &u8| b" \t\r\n".contains(byte);
    let from = input.iter().take_while(|byte| blank(byte)).count();
    let to = input.len() - input[from..].iter().rev().take_while(|byte| blank(byte)).count();
    let number = input[from..to.max(from)].iter().try_fold((0_u64, false), |(number, _), byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        Some((number.saturating_mul(10).saturating_add(digit), true))
    });
    let expected = number
        .filter(|(number, some)| *some && *number > 1)
        .and_then(|(number, _)| u32::try_from(number).ok());
    assert_eq!(parse_pid(input), expected);
}

/// Reads a datagram of sd_notify(3): nobody but a member of the leaf becomes the main process, and
/// the rules take whatever it says.
pub fn notice(input: &[u8]) {
    let is_member = |pid| pid % 2 == 0;
    let notice = parse_notice(input, is_member);
    assert_eq!(notice, parse_notice(input, is_member));
    assert!(notice.main.is_none_or(is_member), "{notice:?}");
    let status = notice.status.clone().unwrap_or_default();
    // It is cleaned where it is shown; here it must be one line, and not grow.
    assert!(!status.contains('\n') && status.len() <= 3 * input.len(), "{status:?}");
    for kind in KINDS {
        let mut supervisor = with_one(kind);
        supervisor.ask(Order::Start, "web", NOW).expect("it may start");
        supervisor.take_actions();
        supervisor.handle("web", 1, Event::Spawned { role: Role::First, pid: 100 }, NOW);
        supervisor.handle("web", 1, Event::Notified(notice.clone()), NOW);
        come_to_rest(&mut supervisor);
    }
}

/// Reads what an earlier supervisor, or whoever owns a delegated leaf, left there: it means the
/// same when it is written and read again, and a supervisor that takes it over goes on.
pub fn record(input: &[u8]) {
    let Ok(mut record) = parse_record(input) else { return };
    let written = serde_json::to_vec(&record).expect("a record can be written");
    assert_eq!(parse_record(&written).expect("our own record"), record);
    // It is that of the leaf's directory, which the supervisor alone makes, or nothing is taken.
    record.start = record.start.min(u64::MAX / 2);
    for (kind, populated) in KINDS.into_iter().flat_map(|kind| [(kind, true), (kind, false)]) {
        let mut supervisor = with_one(kind);
        supervisor.skip_starts("web", record.start);
        supervisor.adopt("web", &record, populated, NOW);
        let service = supervisor.service("web").expect("it is loaded");
        assert!(!populated || service.word().is_alive(), "{service:#?}");
        let again = service.record();
        let text = serde_json::to_vec(&again).expect("a record can be written");
        assert_eq!(parse_record(&text).expect("our own record"), again);
        supervisor.go_on(&[], NOW);
        come_to_rest(&mut supervisor);
        let _ = supervisor.ask(Order::Stop, "web", NOW);
        come_to_rest(&mut supervisor);
        let _ = supervisor.ask(Order::Start, "web", NOW);
        come_to_rest(&mut supervisor);
    }
}

const KINDS: [Kind; 5] = [
    Kind::Auto,
    Kind::Simple,
    Kind::Forking,
    Kind::Oneshot { remain_after_exit: true },
    Kind::Notify,
];

fn with_one(kind: Kind) -> Supervisor {
    let name = UnitName::new("web").expect("a name");
    let mut supervisor = Supervisor::default();
    supervisor.load(vec![Unit { kind, start_timeout: Some(90_000), ..orphan(&name) }], NOW);
    supervisor
}

/// Lets a while pass in which nothing happens: what is due comes, and comes to an end.
fn come_to_rest(supervisor: &mut Supervisor) {
    const A_DAY: Moment = 86_400_000;
    const OFTEN: usize = 1_000;
    for _ in 0..OFTEN {
        assert!(supervisor.take_actions().len() < 16, "too much is asked for at once");
        let due = supervisor.deadline().filter(|due| *due < NOW + A_DAY);
        let Some(due) = due else { return };
        supervisor.tick(due.max(NOW));
    }
    panic!("it is due {OFTEN} times a day, and next {:?}", supervisor.deadline());
}
