//! A house that is looked over when its test ends: whatever the scenario was, the supervisor must
//! be as it was before it.

use std::collections::HashMap;
use std::fs;
use std::ops::{Deref, DerefMut};
use std::process::Command;
use std::time::{Duration, Instant};

use treeward::supervision::status::{StateWord, Summary};

use crate::house::{House, PATIENCE, Process, cgroups_below, eventually, pids_below};

/// How much the supervisor's memory may have grown, in KiB.
const MAY_GROW: u64 = 4 * 1024;
/// What `slc list` may take at the end on an idle machine. On a loaded one it may take as many
/// times what it took at the beginning as [`SLOWER`] says.
const LIST_MAY_TAKE: Duration = Duration::from_millis(200);
const SLOWER: u32 = 20;
/// The window in which nothing may happen at the end.
const IDLE: Duration = Duration::from_millis(300);

/// A house with the eight checks that follow every scenario: the same supervisor, which answers
/// quickly; its descriptors are given back; no zombies; a leaf for each running service and no
/// other; its memory has not grown; it is idle; each change of state has its line in the log; no
/// process has left its leaf.
pub struct Watched {
    /// `None` once it was let go.
    house: Option<House>,
    before: Before,
    /// Processes that a scenario moved elsewhere on purpose.
    pub strayed: Vec<u32>,
}

/// What the supervisor was like before the scenario.
struct Before {
    pid: u32,
    descriptors: usize,
    memory: u64,
    list: Duration,
    /// The states, and how long the log was.
    states: HashMap<String, StateWord>,
    log: usize,
}

impl Watched {
    /// A house with these units, watched from the moment at which they have come to rest.
    pub fn new(units: &[(&str, &str)]) -> Self {
        Self::over(House::new(units))
    }

    /// Watches a house whose supervisor runs.
    pub fn over(house: House) -> Self {
        let before = Before::look(&house);
        Self { house: Some(house), before, strayed: Vec::new() }
    }

    /// Forgets what was before: the scenario replaced the supervisor.
    pub fn look_anew(&mut self) {
        self.before = Before::look(self);
    }

    /// Gives the house back after the checks, for a scenario that ends with its supervisor.
    pub fn let_go(mut self) -> House {
        self.check();
        self.house.take().expect("let go only here")
    }

    /// The eight checks.
    pub fn check(&self) {
        let house: &House = self;
        assert!(house.is_supervised(), "the scenario left no supervisor");
        let supervisor = house.supervisor();
        assert_eq!(supervisor.pid, self.before.pid, "another supervisor");
        let took = quickest_list(house);
        let limit = LIST_MAY_TAKE.max(self.before.list * SLOWER);
        assert!(took < limit, "slc list took {took:?} at best, the limit is {limit:?}");

        let said = || house.read("launcher.log");
        let descriptors = || descriptors_of(&supervisor);
        assert!(
            eventually(PATIENCE, || descriptors().len() <= self.before.descriptors),
            "there were {} descriptors, now there are {:#?}",
            self.before.descriptors,
            descriptors()
        );
        let zombies = || zombies_of(supervisor.pid);
        assert!(eventually(PATIENCE, || zombies().is_empty()), "zombies: {:?}", zombies());
        let mut leaves = String::new();
        let right = eventually(PATIENCE, || {
            leaves = wrong_leaves(house);
            leaves.is_empty()
        });
        assert!(right, "{leaves}; it says:\n{}", said());
        let memory = memory(&supervisor);
        assert!(
            memory <= self.before.memory + MAY_GROW,
            "the supervisor has grown from {} to {memory} KiB",
            self.before.memory
        );
        assert!(is_idle_soon(&supervisor), "the supervisor is not idle; it says:\n{}", said());
        self.check_log();
        let strays: Vec<Process> = strays(house, supervisor.pid)
            .into_iter()
            .filter(|stray| !self.strayed.contains(&stray.pid))
            .collect();
        assert!(strays.is_empty(), "outside their leaves: {strays:#?}");
    }

    /// The lines of a unit must hang together: each begins with the state that the one before it
    /// ended with, and the last ends with the state that the unit is in; the starts are numbered
    /// without a gap.
    fn check_log(&self) {
        let log = self.read("launcher.log");
        let mut states = self.before.states.clone();
        let mut starts: HashMap<String, u64> = HashMap::new();
        for line in log.get(self.before.log..).unwrap_or(&log).lines() {
            let Some((unit, from, to)) = change(line) else { continue };
            let known = states.entry(unit.to_owned()).or_insert(from);
            assert_eq!(*known, from, "a change of state is missing before {line:?} in:\n{log}");
            *known = to;
            if to == StateWord::Starting {
                let number = start_of(line);
                let before = starts.insert(unit.to_owned(), number);
                let gap = before.is_some_and(|before| number != before + 1);
                assert!(!gap, "a start is missing before {line:?} in:\n{log}");
            }
        }
        for summary in list(self) {
            if let Some(told) = states.get(&summary.name) {
                assert_eq!(
                    *told, summary.state,
                    "{}: the log does not say so:\n{log}",
                    summary.name
                );
            }
        }
    }
}

impl Before {
    fn look(house: &House) -> Self {
        let supervisor = house.supervisor();
        let states = |house: &House| -> HashMap<String, StateWord> {
            list(house).into_iter().map(|summary| (summary.name, summary.state)).collect()
        };
        // At rest is what has not changed for a moment: the length of the log, too.
        let (mut log, mut at_rest) = (0, HashMap::new());
        eventually(PATIENCE, || {
            let now = (house.read("launcher.log").len(), states(house));
            let quiet = now == (log, at_rest.clone());
            (log, at_rest) = now;
            std::thread::sleep(IDLE / 3);
            quiet
        });
        Self {
            pid: supervisor.pid,
            descriptors: descriptors_of(&supervisor).len(),
            memory: memory(&supervisor),
            list: quickest_list(house),
            states: at_rest,
            log,
        }
    }
}

impl Deref for Watched {
    type Target = House;

    fn deref(&self) -> &House {
        self.house.as_ref().expect("not let go")
    }
}

impl DerefMut for Watched {
    fn deref_mut(&mut self) -> &mut House {
        self.house.as_mut().expect("not let go")
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // A test that fails has said why.
        if self.house.is_some() && !std::thread::panicking() {
            self.check();
        }
    }
}

/// What `slc list --json` shows.
pub fn list(house: &House) -> Vec<Summary> {
    let reply = house.call("List", serde_json::json!({})).expect("List");
    serde_json::from_value(reply["services"].clone()).expect("summaries")
}

/// The best of five, because what counts is the supervisor and not who else works here.
fn quickest_list(house: &House) -> Duration {
    let time = |_| {
        let began = Instant::now();
        let output = Command::new(env!("CARGO_BIN_EXE_slc"))
            .arg("--socket")
            .arg(house.path("run/control.sock"))
            .arg("list")
            .output()
            .expect("slc");
        // Units that could not be used make it 1.
        assert!(output.status.code().is_some_and(|code| code < 2), "{output:?}");
        began.elapsed()
    };
    (0..5).map(time).min().unwrap_or_default()
}

/// The open descriptors but for `/dev/null`, which the first start opens for all.
fn descriptors_of(process: &Process) -> Vec<(u32, String)> {
    let mut descriptors = process.descriptors();
    descriptors.retain(|(_, target)| target != "/dev/null");
    descriptors
}

/// The resident memory in KiB.
fn memory(process: &Process) -> u64 {
    let line = process.status_line("VmRSS");
    line.trim_end_matches(" kB").parse().expect("VmRSS")
}

/// Waits for a window in which the process neither woke up nor used the CPU.
fn is_idle_soon(process: &Process) -> bool {
    let done = || (process.voluntary_switches(), process.cpu_ticks());
    eventually(PATIENCE, || {
        let before = done();
        std::thread::sleep(IDLE);
        done() == before
    })
}

/// The children of a process that nobody has buried.
pub fn zombies_of(pid: u32) -> Vec<u32> {
    let is_zombie = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, fields)| fields.starts_with('Z'))
    };
    children_of(pid).into_iter().filter(is_zombie).collect()
}

/// The children of all threads of a process, zombies too.
pub fn children_of(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = threads.map(|thread| fs::read_to_string(thread.path().join("children")));
    let words = lists.map(Result::unwrap_or_default);
    words
        .flat_map(|text| text.split(' ').filter_map(|word| word.parse().ok()).collect::<Vec<_>>())
        .collect()
}

/// Leaves of services that do not run, and services that run in no leaf or in several. The leaf of
/// a service that ends is gone a moment later.
fn wrong_leaves(house: &House) -> String {
    let mut wrong = String::new();
    let summaries = list(house);
    for summary in &summaries {
        let leaves = fs::read_dir(house.unit_cgroup(&summary.name)).into_iter().flatten().flatten();
        let leaves = leaves.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        let leaves: Vec<_> = leaves.map(|leaf| leaf.file_name()).collect();
        if leaves.len() != usize::from(summary.state.is_alive()) {
            wrong += &format!("{} is {} with leaves {leaves:?}; ", summary.name, summary.state);
        }
    }
    wrong
}

/// Every process below the supervisor that is neither in a leaf nor the log lane.
fn strays(house: &House, supervisor: u32) -> Vec<Process> {
    let services = house.unit_cgroup("");
    let leaves = cgroups_below(&services);
    let inside: Vec<u32> = leaves.iter().flat_map(|leaf| pids_below(leaf)).collect();
    let mut open = children_of(supervisor);
    let mut strays = Vec::new();
    while let Some(pid) = open.pop() {
        open.extend(children_of(pid));
        let Some(process) = Process::look(pid).filter(|_| !inside.contains(&pid)) else { continue };
        let is_lane = process.parent == supervisor && process.command.contains("--journal");
        if !is_lane && process.lives() {
            strays.push(process);
        }
    }
    strays
}

/// The unit and the two states of a line about a change.
fn change(line: &str) -> Option<(&str, StateWord, StateWord)> {
    let (before, after) = line.split_once(" -> ")?;
    let (before, from) = before.rsplit_once(": ")?;
    let to = after.split([':', ' ']).next()?;
    let word = |text: &str| StateWord::ALL.into_iter().find(|word| word.as_str() == text);
    Some((before.rsplit_once(' ').map_or(before, |(_, unit)| unit), word(from)?, word(to)?))
}

/// The number at the end of a line about a change: `... (start 3)`.
fn start_of(line: &str) -> u64 {
    let number = line.rsplit_once("(start ").and_then(|(_, rest)| rest.strip_suffix(')'));
    number.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no start in {line:?}"))
}
