//! What happens, and what may come of it.

use treeward::supervision::status::StateWord::{self, Done, Down, Failed, Up};

use crate::house::program;

/// What happens to the unit `target`, and what may have become of it when the supervisor was
/// killed meanwhile.
pub struct Scene {
    pub name: &'static str,
    pub target: Target,
    /// What `target` is before.
    pub from: StateWord,
    /// What happens.
    pub act: Act,
    /// What the next supervisor may bring `target` to.
    pub to: &'static [StateWord],
    /// Whether the bystanders must be the same processes afterwards.
    pub undisturbed: bool,
}

/// What kind of service `target` is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A daemon that forks twice and keeps two children; it is started again when it dies.
    Family,
    /// One that ignores SIGTERM, so that it is killed after its grace period.
    Stubborn,
    /// One that is stopped by a command; it and the command write a word each.
    Commanded,
    /// A oneshot that stays `done`, and is undone by a command; both write a word.
    Undone,
    /// One with a hook of each kind; each writes a word, and whether it was alone.
    Hooked,
    /// One whose health check fails when a file is away; it makes the file when it starts.
    Checked,
    /// One with a socket.
    Listening,
    /// A oneshot that is due every second, and writes when it ran.
    Timed,
    /// An instance that nobody has named.
    Instance,
}

impl Target {
    /// The unit's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Instance => "target@x",
            _ => "target",
        }
    }

    /// The name of its file.
    pub fn file(self) -> &'static str {
        match self {
            Self::Instance => "target@",
            _ => "target",
        }
    }

    /// The unit, and the number of its processes when it is up.
    pub fn unit(self) -> (String, usize) {
        let family = format!("command: {} 0 2\n", program("family"));
        let after = |script: &str| {
            format!("command: [sh, -c, '{script}; exec {} 0 2']\n", program("family"))
        };
        match self {
            Self::Family | Self::Instance => (family + RESTARTED, 3),
            Self::Hooked => {
                let hook = |key: &str| {
                    format!(
                        "{key}: [[sh, -c, 'exec 9> {{dir}}/{key}.lock; flock -n 9 || echo {key} >> \
                         {{dir}}/twice; echo {key} >> {{dir}}/order; sleep 0.01']]\n"
                    )
                };
                let hooks = ["start_pre", "start_post", "stop_post"].map(hook).concat();
                let service = after("echo service >> {dir}/order");
                (format!("{service}type: forking\nrestart: on-failure\n{hooks}"), 3)
            }
            Self::Checked => (
                after("touch {dir}/well")
                    + RESTARTED
                    + "healthcheck: {test: [CMD, test, -e, {dir}/well], interval: 200ms, \
                       retries: 1}\n",
                3,
            ),
            Self::Listening => {
                let socket = "sockets: {web: {listen: {dir}/web.sock, type: dgram}}\n";
                (family + RESTARTED + socket, 3)
            }
            Self::Timed => (
                "timer: {every: 1s}\ncommand: [sh, -c, 'read at rest < /proc/uptime; echo $at >> \
                 {dir}/runs; sleep 0.02']\n"
                    .to_owned(),
                0,
            ),
            Self::Stubborn => (
                "command: [sh, -c, \"trap '' TERM; while :; do sleep 1000; done\"]\n\
                 stop_grace_period: 100ms\n"
                    .to_owned(),
                2,
            ),
            Self::Commanded => (after("echo service >> {dir}/order") + STOP_COMMAND, 3),
            Self::Undone => (
                "type: oneshot\nremain_after_exit: true\n\
                 command: [sh, -c, 'echo service >> {dir}/order']\n"
                    .to_owned()
                    + STOP_COMMAND,
                0,
            ),
        }
    }
}

const RESTARTED: &str = "restart: always\nrestart_delay: 0s\nrestart_max_attempts: 0\n\
                         reload_signal: WINCH\n";

const STOP_COMMAND: &str =
    "stop_command: [sh, -c, 'echo stop_command >> {dir}/order; exec sleep 0.02']\n";

pub enum Act {
    /// An order by its method.
    Order(&'static str),
    /// An order by its method that waits for nothing. Once it is answered, only the first of
    /// [`Scene::to`] may come of it.
    Ask(&'static str),
    /// Every process of the target dies.
    Death,
    /// What the target's health check looks at goes.
    Illness,
    /// The target is due.
    Due,
    /// A unit file comes, and the files are read again.
    ReadUnits,
    /// The supervisor becomes its own program anew.
    Upgrade,
    /// The supervisor is asked to end.
    Term,
    /// The supervisor starts, and finds nothing.
    ColdStart,
    /// The supervisor starts, and finds the services of one that was killed.
    Adoption,
}

const fn scene(
    name: &'static str,
    target: Target,
    from: StateWord,
    act: Act,
    to: &'static [StateWord],
) -> Scene {
    let undisturbed = !matches!(act, Act::Term | Act::ColdStart);
    Scene { name, target, from, act, to, undisturbed }
}

pub const SCENES: &[Scene] = &[
    scene("start", Target::Family, Down, Act::Order("Start"), &[Up, Down]),
    scene("stop", Target::Family, Up, Act::Order("Stop"), &[Up, Down]),
    scene("start without waiting", Target::Family, Down, Act::Ask("Start"), &[Up, Down]),
    scene("stop without waiting", Target::Family, Up, Act::Ask("Stop"), &[Down, Up]),
    scene("stop and kill", Target::Stubborn, Up, Act::Order("Stop"), &[Up, Down]),
    scene("stop by command", Target::Commanded, Up, Act::Order("Stop"), &[Up, Down]),
    scene("restart by command", Target::Commanded, Up, Act::Order("Restart"), &[Up]),
    scene("stop of one done", Target::Undone, Done, Act::Order("Stop"), &[Done, Down]),
    scene(
        "stop of one done without waiting",
        Target::Undone,
        Done,
        Act::Ask("Stop"),
        &[Down, Done],
    ),
    scene("restart of one done", Target::Undone, Done, Act::Order("Restart"), &[Done, Failed]),
    scene("going down with one done", Target::Undone, Done, Act::Term, &[Done]),
    scene("restart", Target::Family, Up, Act::Order("Restart"), &[Up]),
    scene("restart and kill", Target::Stubborn, Up, Act::Order("Restart"), &[Up]),
    scene("reload", Target::Family, Up, Act::Order("Reload"), &[Up]),
    scene("death", Target::Family, Up, Act::Death, &[Up]),
    scene("read units", Target::Family, Up, Act::ReadUnits, &[Up]),
    scene("upgrade", Target::Family, Up, Act::Upgrade, &[Up]),
    scene("going down", Target::Family, Up, Act::Term, &[Up]),
    scene("cold start", Target::Family, Up, Act::ColdStart, &[Up]),
    scene("adoption", Target::Family, Up, Act::Adoption, &[Up]),
    scene("start with hooks", Target::Hooked, Down, Act::Order("Start"), &[Up, Down]),
    scene("restart with hooks", Target::Hooked, Up, Act::Order("Restart"), &[Up]),
    scene("illness", Target::Checked, Up, Act::Illness, &[Up]),
    scene("restart with a socket", Target::Listening, Up, Act::Order("Restart"), &[Up]),
    scene("adoption with a socket", Target::Listening, Up, Act::Adoption, &[Up]),
    scene("timer", Target::Timed, Down, Act::Due, &[Down, Failed]),
    scene("start of an instance", Target::Instance, Down, Act::Order("Start"), &[Up, Down]),
    scene("adoption of one stopped", Target::Family, Down, Act::Adoption, &[Down]),
];
