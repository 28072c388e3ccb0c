//! The supervisor is killed at every system call by which it changes the world, and the next one
//! must find everything as it was: nothing lost, nothing doubled.
//!
//! A kill between two reads leaves the same world as a kill at the next call that changes
//! something, so the walk takes the calls that are left when those are set aside that only look.
//! strace(1) injects the kill at the entry of the n-th call of a name; a first run without a kill
//! tells which names there are. The walk of a name ends when its n was not reached any more.

mod evidence;
#[path = "../house/mod.rs"]
mod house;
mod scenes;
mod strace;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use treeward::supervision::status::StateWord::{self, Done, Up};

use house::{
    House, PATIENCE, Process, cgroups_below, eventually, kernel_tells_ends, pids_below, program,
};
use scenes::{Act, SCENES, Scene, Target};
use strace::{LOOKING, Strace};

/// The units beside the target.
const BYSTANDERS: &[&str] = &["counter", "family"];

/// Scenario P2.
#[test]
fn nothing_is_lost_or_doubled_wherever_the_supervisor_is_killed() {
    let only = std::env::var("TREEWARD_SCENE").ok();
    let mut table = String::new();
    for scene in SCENES.iter().filter(|scene| only.as_deref().is_none_or(|name| name == scene.name))
    {
        let tried = walk(scene);
        assert!(!tried.is_empty(), "{}: no system call was found", scene.name);
        let sum: usize = tried.values().sum();
        let calls: Vec<String> = tried.iter().map(|(call, n)| format!("{call} {n}")).collect();
        table.push_str(&format!("{}: {sum} points ({})\n", scene.name, calls.join(", ")));
    }
    // The number of points is the result: .ci/run prints it.
    fs::write(Path::new(env!("CARGO_TARGET_TMPDIR")).join("crash-points"), table).expect("write");
}

/// Kills the supervisor at each call of a scene, and gives how many there were of each name.
fn walk(scene: &Scene) -> BTreeMap<String, usize> {
    let family = Target::Family.unit().0;
    let counter = format!("command: {} 5\n", program("counter"));
    let mut house = House::vacant(&[
        ("counter", &counter),
        ("family", &family),
        (scene.target.file(), &scene.target.unit().0),
    ]);
    let mut tried = BTreeMap::new();
    for call in calls_of(&mut house, scene) {
        for n in 1.. {
            let place = format!("{}, killed at {call} {n}", scene.name);
            let before = prepare(&mut house, scene);
            let client = evidence::begin(&house, scene);
            let inject = format!("inject={call}:signal=KILL:when={n}");
            let (killed, answered) = act(&mut house, scene, &["-o", "/dev/null", "-e", &inject]);
            if !killed {
                break;
            }
            *tried.entry(call.clone()).or_default() += 1;
            house.launch();
            // What was answered holds.
            let may_be = if answered { &scene.to[..1] } else { scene.to };
            let state = judge(&house, scene, may_be, &before, &place);
            // How a run ends is known from the call on that keeps it, which follows its birth.
            let may_be_unknown = call == "sendmsg" || !kernel_tells_ends();
            assert!(
                scene.target != Target::Timed || state != StateWord::Failed || may_be_unknown,
                "{place}: {}",
                house.read("launcher.log")
            );
            client.into_iter().for_each(|client| client.assert_served(&place));
        }
    }
    supervise(&mut house);
    assert_counted(&house);
    tried
}

/// Sees to it that there is a supervisor.
fn supervise(house: &mut House) {
    if !house.is_supervised() {
        house.launch();
    }
}

/// What must not change of a service that nothing happens to.
#[derive(Debug)]
struct Photograph {
    processes: Vec<Process>,
    start: u64,
    since: u64,
    restarts: u32,
    main_pid: Option<u32>,
}

impl Photograph {
    /// The time is converted from one clock to another, and may differ by what is rounded.
    fn is_the_same(&self, other: &Self) -> bool {
        let fields = |photo: &Self| (photo.start, photo.restarts, photo.main_pid);
        self.processes == other.processes
            && self.since.abs_diff(other.since) <= 5
            && fields(self) == fields(other)
    }
}

/// Brings the house to where the scene begins, and gives the bystanders.
fn prepare(house: &mut House, scene: &Scene) -> Vec<Photograph> {
    supervise(house);
    let _ = fs::remove_file(house.path("units/extra.yml"));
    let target = scene.target.name();
    let order = if matches!(scene.from, Up | Done) { "Start" } else { "Stop" };
    match scene.target {
        // It waits for its time.
        Target::Timed => {}
        // There is none before somebody starts it, and none again once it was down.
        Target::Instance => drop(house.call(order, json!({"units": [target]}))),
        _ => {
            let answer = house.call(order, json!({"units": [target]}));
            assert!(answer.is_ok(), "{}: {order}: {answer:?}", scene.name);
        }
    }
    house.call("ReadUnits", json!({})).expect("ReadUnits");
    for unit in BYSTANDERS {
        wait_settled(house, scene, unit, &[Up], scene.name);
    }
    wait_settled(house, scene, target, &[scene.from], scene.name);
    let before = bystanders(house);
    match scene.act {
        Act::ColdStart => assert_eq!(house.end_supervisor(), Some(0)),
        Act::Adoption => house.kill_supervisor(),
        _ => {}
    }
    before
}

fn bystanders(house: &House) -> Vec<Photograph> {
    let photograph = |unit: &&str| {
        let status = house.status(unit);
        Photograph {
            processes: house.processes(unit),
            start: status.start,
            since: status.summary.since,
            restarts: status.summary.restarts,
            main_pid: status.summary.main_pid,
        }
    };
    BYSTANDERS.iter().map(photograph).collect()
}

/// Lets the scene happen under strace with these options. Gives whether the supervisor was killed,
/// and whether it had answered an order that waits for nothing before.
fn act(house: &mut House, scene: &Scene, options: &[&str]) -> (bool, bool) {
    if matches!(scene.act, Act::ColdStart | Act::Adoption) {
        let words = [&["strace", "-D", "-qq"], options].concat();
        let killed = !house.launch_behind(&words);
        if !killed {
            // Its strace would go on counting.
            house.kill_supervisor();
        }
        return (killed, false);
    }
    let mut answered = false;
    let pid = house.supervisor().pid;
    let target = scene.target.name();
    let old = house.processes(target);
    let strace = Strace::attach(pid, options);
    match scene.act {
        // The answer does not come when the supervisor is killed; what counts is the world.
        Act::Order(method) => drop(house.call(method, json!({"units": [target]}))),
        Act::Ask(method) => {
            answered = house.call(method, json!({"units": [target], "wait": false})).is_ok();
        }
        Act::ReadUnits => {
            house.write_unit("extra", "command: [sleep, '1000']\n");
            drop(house.call("ReadUnits", json!({})));
        }
        Act::Upgrade => drop(house.call("Upgrade", json!({}))),
        Act::Death => {
            for leaf in cgroups_below(&house.unit_cgroup(target)) {
                fs::write(leaf.join("cgroup.kill"), "1").expect("cgroup.kill");
            }
        }
        Act::Illness => fs::remove_file(house.path("well")).expect("well"),
        Act::Due => {}
        Act::Term => kill(Pid::from_raw(pid as i32), Signal::SIGTERM).expect("kill"),
        Act::ColdStart | Act::Adoption => {}
    }
    let runs = house.read("runs");
    let mut ended = None;
    let happened = eventually(PATIENCE, || {
        ended = house.ended();
        ended.is_some() || has_happened(house, scene, &old, &runs)
    });
    assert!(happened, "{}: nothing comes of it: {}", scene.name, house.read("launcher.log"));
    drop(strace);
    // It may have been killed after the scene, too.
    ended = ended.or_else(|| house.ended());
    (ended.is_some_and(|status| status.signal() == Some(9)), answered)
}

/// Whether the scene is over, as far as it can be seen without a supervisor. Two more turns of the
/// loop give it time for what it does after an answer.
fn has_happened(house: &House, scene: &Scene, old: &[Process], runs: &str) -> bool {
    match scene.act {
        Act::Term => return false,
        Act::Due if house.read("runs") == runs => return false,
        Act::Due => {}
        Act::Death | Act::Illness => {
            let now = family(house);
            if now.len() != scene.target.unit().1 || now.iter().any(|process| old.contains(process))
            {
                return false;
            }
        }
        Act::ReadUnits => {
            if house.processes("extra").is_empty() {
                return false;
            }
        }
        Act::Order(_) | Act::Ask(_) | Act::Upgrade | Act::ColdStart | Act::Adoption => {}
    }
    (0..2).all(|_| house.call("Version", json!({})).is_ok())
}

/// What the next supervisor must have come to.
fn judge(
    house: &House,
    scene: &Scene,
    may_be: &[StateWord],
    before: &[Photograph],
    place: &str,
) -> StateWord {
    for unit in BYSTANDERS {
        wait_settled(house, scene, unit, &[Up], place);
    }
    let state = wait_settled(house, scene, scene.target.name(), may_be, place);
    evidence::judge(house, scene, state, place);
    if scene.undisturbed {
        let now = bystanders(house);
        assert!(
            now.iter().zip(before).all(|(now, before)| now.is_the_same(before)),
            "{place}: {before:#?}\nhave become {now:#?}\n{}",
            house.read("launcher.log")
        );
    }
    state
}

/// The target's own processes, without a check that may run beside them.
fn family(house: &House) -> Vec<Process> {
    let is_leaf = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_str().is_some_and(|it| !it.contains("check")))
    };
    let leaves = cgroups_below(&house.unit_cgroup("target")).into_iter().filter(is_leaf);
    leaves.flat_map(|leaf| pids_below(&leaf)).filter_map(Process::look).collect()
}

/// Waits until a unit rests in one of the states, with exactly the processes of one start. Gives the
/// state.
fn wait_settled(
    house: &House,
    scene: &Scene,
    unit: &str,
    states: &[StateWord],
    place: &str,
) -> StateWord {
    let whole = match unit {
        "counter" => 1,
        "family" => 3,
        _ => scene.target.unit().1,
    };
    let mut seen = String::new();
    let mut state = StateWord::Down;
    let settled = eventually(PATIENCE, || {
        // An instance that was never started, or was stopped, is not there.
        if scene.target == Target::Instance && unit == scene.target.name() && !is_known(house, unit)
        {
            return states.contains(&StateWord::Down) && !house.unit_cgroup(unit).exists();
        }
        let status = house.status(unit);
        state = status.summary.state;
        let leaves: Vec<usize> = cgroups_below(&house.unit_cgroup(unit))
            .iter()
            .map(|leaf| pids_below(leaf).len())
            .collect();
        seen =
            format!("{state:?} ({}) with {leaves:?} processes in its leaves", status.summary.why);
        let wanted: &[usize] = if state == Up { &[whole] } else { &[] };
        let main = state != Up || status.summary.main_pid.is_some();
        let armed = scene.target != Target::Timed
            || unit != scene.target.name()
            || status.summary.why.contains("next run");
        states.contains(&state) && leaves == wanted && main && armed
    });
    assert!(
        settled,
        "{place}: {unit} is {seen}, and should be in {states:?}; the supervisor says:\n{}",
        house.read("launcher.log")
    );
    state
}

fn is_known(house: &House, unit: &str) -> bool {
    house.call("Status", json!({"units": [unit]})).is_ok()
}

/// The calls of a scene that change the world, by name.
fn calls_of(house: &mut House, scene: &Scene) -> Vec<String> {
    prepare(house, scene);
    let trace = house.path("trace");
    act(house, scene, &["-o", trace.to_str().expect("UTF-8")]);
    let text = fs::read_to_string(&trace).expect("trace");
    let names =
        text.lines().filter_map(|line| line.split_once('(').map(|(name, _)| name.to_owned()));
    let names: BTreeMap<String, ()> = names
        .filter(|name| name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'))
        .filter(|name| !LOOKING.contains(&name.as_str()))
        .map(|name| (name, ()))
        .collect();
    names.into_keys().collect()
}

/// The counter's log must hold every number, each in a line of its own.
fn assert_counted(house: &House) {
    let log_dir = house.path("log");
    let log_dir = log_dir.to_str().expect("UTF-8");
    let log = house.slc_done(&["journal", "--log-dir", log_dir, "-n", "1000000", "counter"]);
    let mut last = 0;
    for line in log.lines() {
        let number = line.rsplit(' ').next().and_then(|word| word.parse::<u64>().ok());
        let number = number.unwrap_or_else(|| panic!("a torn line: {line:?}"));
        assert!(number == last + 1 || number == 1, "{number} after {last}");
        last = number;
    }
    assert!(last > 0, "nothing was counted");
}
