//! Scenario F8: real daemons of Debian, each started as its documentation says it daemonises. None
//! of their units has a `type` or a `pid_file`: the default must do.

use std::time::Duration;

use nix::sys::signal::Signal;
use treeward::supervision::status::{StateWord, Status};

use crate::house::{House, PATIENCE, Process, SECOND, cgroups_below, eventually};

/// A daemon and what is true of it.
pub struct Daemon<'a> {
    pub name: &'a str,
    pub unit: &'a str,
    /// Files in the house's directory, as name and text.
    pub files: &'a [(&'a str, &'a str)],
    /// Other units that it needs.
    pub beside: &'a [(&'a str, &'a str)],
    /// Whether a process is the main process, judged from `/proc`. One process is, no other.
    pub is_main: fn(&Process) -> bool,
    /// Whether `no main process` is a right answer as well, because the tree never rests.
    pub main_may_be_unknown: bool,
    /// The fewest processes it has once it is settled.
    pub at_least: usize,
    /// Whether it executes itself anew when it is reloaded, and forks into the background again.
    pub forks_on_reload: bool,
    pub after_kill: AfterKill,
    /// A command in the house's namespaces that makes the daemon work, so that it has something
    /// to log, and the text that the command then prints.
    pub use_it: Option<(&'a str, &'a str)>,
    /// A text that the daemon writes, to its standard output or to syslog.
    pub logs: &'a str,
}

/// What must follow when the main process, and nothing else, is killed with SIGKILL.
pub enum AfterKill {
    /// It was the last process: the service is started again, after its delay.
    StartedAgain,
    /// Others live, so the service does, without a main process.
    LivesOn,
}

impl Daemon<'_> {
    /// A daemon of a single process, as most are.
    pub const fn single<'a>(name: &'a str, unit: &'a str, logs: &'a str) -> Daemon<'a> {
        Daemon {
            name,
            unit,
            files: &[],
            beside: &[],
            is_main: |_| true,
            main_may_be_unknown: false,
            at_least: 1,
            forks_on_reload: false,
            after_kill: AfterKill::StartedAgain,
            use_it: None,
            logs,
        }
    }

    /// The script that every daemon goes through.
    pub fn prove(&self) {
        let mut units = self.beside.to_vec();
        units.push((self.name, self.unit));
        let house = House::sealed(&units, self.files);

        house.wait_state(self.name, StateWord::Up, SECOND);
        self.settle(&house);
        if let Some((command, answer)) = self.use_it {
            // A daemon opens its sockets a moment after it is up.
            let works = eventually(PATIENCE / 2, || house.shell(command).contains(answer));
            assert!(works, "{} does not answer {answer:?}", self.name);
        }
        house.wait_for_log(self.name, self.logs);

        if self.forks_on_reload {
            self.reload(&house);
        }
        self.kill_main(&house);
        self.stop(&house);

        house.slc_done(&["start", self.name]);
        house.wait_state(self.name, StateWord::Up, SECOND);
        self.settle(&house);
        self.stop(&house);
    }

    /// The process that is the main one by what `/proc` shows, if exactly one is.
    fn true_main(&self, house: &House) -> Option<Process> {
        let processes = house.processes(self.name);
        let mut candidates = processes.iter().filter(|process| (self.is_main)(process));
        let main = candidates.next()?;
        let settled = candidates.next().is_none() && processes.len() >= self.at_least;
        settled.then(|| main.clone())
    }

    /// Waits until `/proc` shows one main process and no more launching ones, and asserts that
    /// the supervisor says the same within a second.
    fn settle(&self, house: &House) -> Process {
        let settled = eventually(PATIENCE, || self.true_main(house).is_some());
        assert!(settled, "{} does not settle: {:#?}", self.name, house.processes(self.name));
        let mut main = None;
        house.wait_for(self.name, "up with the right main process", SECOND, |status| {
            // A look at a fork in progress may have shown a process that is gone by now.
            main = self.true_main(house);
            let said = status.summary.main_pid;
            let right = main.as_ref().is_some_and(|main| said == Some(main.pid));
            (right || self.main_may_be_unknown && said.is_none() && main.is_some())
                && status.summary.state == StateWord::Up
                && tree_is_whole(status)
        });
        main.expect("seen just now")
    }

    fn reload(&self, house: &House) {
        let (before, start) = (self.settle(house), house.status(self.name).start);
        house.slc_done(&["reload", self.name]);
        let forked = eventually(PATIENCE / 2, || !before.lives());
        assert!(forked, "{} has not forked", self.name);
        assert_ne!(self.settle(house).pid, before.pid);
        let status = house.status(self.name);
        assert_eq!((status.start, status.summary.restarts), (start, 0), "{status:#?}");
    }

    fn kill_main(&self, house: &House) {
        let main = self.settle(house);
        let others: Vec<_> = house.processes(self.name);
        let others: Vec<_> = others.into_iter().filter(|process| *process != main).collect();
        let start = house.status(self.name).start;
        main.signal(Signal::SIGKILL);
        match self.after_kill {
            AfterKill::StartedAgain => {
                house.wait_for(self.name, "started again", PATIENCE, |status| {
                    status.summary.state == StateWord::Up
                        && status.summary.restarts == 1
                        && status.start == start + 1
                });
                assert_ne!(self.settle(house).pid, main.pid);
            }
            AfterKill::LivesOn => {
                house.wait_for(self.name, "up without a main process", SECOND, |status| {
                    status.summary.main_pid.is_none()
                        && status.summary.state == StateWord::Up
                        && status.start == start
                        && status.processes as usize + 1 >= self.at_least
                });
                // Workers that come and go are nobody's loss; those that stay must stay.
                if !self.main_may_be_unknown {
                    assert!(others.iter().all(Process::lives), "{others:#?} were killed too");
                }
            }
        }
    }

    fn stop(&self, house: &House) {
        let before = house.processes(self.name);
        assert!(!before.is_empty(), "{} has no process to stop", self.name);
        house.slc_done(&["stop", self.name]);
        assert_stopped(house, self.name, &before);
    }
}

/// Asserts that a stopped unit is down with nothing left: of its processes, and of its leaves.
pub fn assert_stopped(house: &House, unit: &str, before: &[Process]) {
    let status = house.status(unit);
    assert_eq!(status.summary.state, StateWord::Down, "{status:#?}");
    assert_eq!(status.processes, 0, "{status:#?}");
    assert_eq!(status.summary.main_pid, None, "{status:#?}");
    let alive: Vec<_> = before.iter().filter(|process| process.lives()).collect();
    assert!(alive.is_empty(), "{alive:#?} survived the stop of {unit}");
    assert_eq!(house.processes(unit), [], "{unit} has processes after its stop");
    // The leaf is removed by a thread of its own, because rmdir may block.
    let leaves = || cgroups_below(&house.unit_cgroup(unit));
    assert!(eventually(SECOND, || leaves().is_empty()), "{unit} leaves {:?}", leaves());
}

/// Whether a status describes as many processes as it counts, each below its parent.
fn tree_is_whole(status: &Status) -> bool {
    status.tree.len() as u64 == status.processes
        && status.tree.iter().enumerate().all(|(place, process)| {
            process.depth == 0
                || status.tree[..place].iter().any(|above| above.pid == process.parent)
        })
}

const DNSMASQ: &str = "\
interface=lan0
bind-interfaces
port=0
no-ping
dhcp-range=10.77.0.50,10.77.0.150,1h
dhcp-leasefile=/run/dnsmasq.leases
";
const DNSMASQ_UNIT: &str =
    "command: nsenter --net=/run/netns/lan /usr/sbin/dnsmasq --conf-file={dir}/dnsmasq.conf\n";
const HTTP_GET: &str = "exec 3<>/dev/tcp/127.0.0.1/8080 && \
    printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3 && cat <&3 || true";

#[test]
fn dhclient_is_up_with_a_lease_although_its_first_process_has_exited() {
    let dhclient = Daemon {
        files: &[("dnsmasq.conf", DNSMASQ)],
        beside: &[("dnsmasq", DNSMASQ_UNIT)],
        use_it: Some(("ip -4 address show dev eth0", "inet 10.77.0.")),
        ..Daemon::single(
            "dhclient",
            "command: /sbin/dhclient -v -pf /run/dhclient.pid -lf /run/dhclient.leases eth0\n\
             after: [dnsmasq]\n",
            "bound to 10.77.0.",
        )
    };
    dhclient.prove();
}

#[test]
fn dnsmasq_is_followed() {
    Daemon {
        files: &[("dnsmasq.conf", DNSMASQ)],
        ..Daemon::single("dnsmasq", DNSMASQ_UNIT, "DHCP, IP range 10.77.0.50")
    }
    .prove();
}

#[test]
fn nginx_lives_on_in_its_workers_when_its_master_is_killed() {
    let configuration = "\
worker_processes 2;
error_log stderr notice;
pid /run/nginx.pid;
events {}
http {
  access_log off;
  server { listen 127.0.0.1:8080; location / { return 200 'nginx says hello'; } }
}
";
    Daemon {
        files: &[("nginx.conf", configuration)],
        is_main: |process| process.command.contains("master process"),
        at_least: 3,
        after_kill: AfterKill::LivesOn,
        use_it: Some((HTTP_GET, "nginx says hello")),
        ..Daemon::single(
            "nginx",
            "command: /usr/sbin/nginx -e stderr -c {dir}/nginx.conf\n",
            "start worker processes",
        )
    }
    .prove();
}

#[test]
fn sshd_is_followed() {
    Daemon {
        files: &[("sshd_config", "Port 2222\nHostKey /run/hostkey\nPidFile /run/sshd.pid\n")],
        // The key is made first, in the same start: a shell that ends is no main process.
        ..Daemon::single(
            "sshd",
            "command:\n\
             - sh\n\
             - -c\n\
             - test -f /run/hostkey || ssh-keygen -q -t ed25519 -N '' -f /run/hostkey;\n  \
               exec /usr/sbin/sshd -f {dir}/sshd_config\n",
            "Server listening on 0.0.0.0 port 2222",
        )
    }
    .prove();
}

#[test]
fn cron_is_followed() {
    Daemon::single("cron", "command: /usr/sbin/cron\n", "STARTUP (fork ok)").prove();
}

#[test]
fn rsyslogd_is_followed() {
    let configuration = "\
module(load=\"imuxsock\" SysSock.Use=\"off\")
input(type=\"imuxsock\" Socket=\"/run/rsyslog.in\")
module(load=\"omuxsock\")
$OMUxSockSocket /dev/log
*.* :omuxsock:
";
    Daemon {
        files: &[("rsyslog.conf", configuration)],
        ..Daemon::single(
            "rsyslog",
            "command: /usr/sbin/rsyslogd -f {dir}/rsyslog.conf -i /run/rsyslogd.pid\n",
            "swVersion=",
        )
    }
    .prove();
}

#[test]
fn memcached_is_followed() {
    Daemon::single(
        "memcached",
        "command: /usr/bin/memcached -d -vv -u memcache -l 127.0.0.1\n",
        "slab class",
    )
    .prove();
}

#[test]
fn redis_server_is_followed() {
    Daemon::single(
        "redis",
        "command: /usr/bin/redis-server --daemonize yes --bind 127.0.0.1 --save '' --dir /run \
         --pidfile /run/redis.pid --syslog-enabled yes\n",
        "Ready to accept connections",
    )
    .prove();
}

#[test]
fn haproxy_is_followed() {
    let configuration = "\
global
    log /dev/log local0
defaults
    mode http
    log global
    option httplog
    timeout connect 1s
    timeout client 1s
    timeout server 1s
frontend front
    bind 127.0.0.1:8080
    http-request return status 200 content-type text/plain string 'haproxy says hello'
";
    Daemon {
        files: &[("haproxy.cfg", configuration)],
        use_it: Some((HTTP_GET, "haproxy says hello")),
        ..Daemon::single(
            "haproxy",
            "command: /usr/sbin/haproxy -D -f {dir}/haproxy.cfg -p /run/haproxy.pid\n",
            "GET / HTTP/1.0",
        )
    }
    .prove();
}

#[test]
fn lighttpd_is_followed() {
    let configuration = "\
server.document-root = \"/run\"
server.bind = \"127.0.0.1\"
server.port = 8080
server.pid-file = \"/run/lighttpd.pid\"
server.errorlog-use-syslog = \"enable\"
";
    Daemon {
        files: &[("lighttpd.conf", configuration)],
        use_it: Some((HTTP_GET, "Server: lighttpd")),
        ..Daemon::single(
            "lighttpd",
            "command: /usr/sbin/lighttpd -f {dir}/lighttpd.conf\n",
            "server started",
        )
    }
    .prove();
}

#[test]
fn apache_lives_on_in_its_workers_when_its_master_is_killed() {
    let configuration = "\
ServerRoot /usr/lib/apache2
ServerName localhost
PidFile /run/apache.pid
DefaultRuntimeDir /run
LoadModule mpm_prefork_module modules/mod_mpm_prefork.so
LoadModule authz_core_module modules/mod_authz_core.so
StartServers 2
MinSpareServers 2
MaxSpareServers 2
User www-data
Group www-data
Listen 127.0.0.1:8080
ErrorLog syslog:daemon
LogLevel notice
";
    Daemon {
        files: &[("apache.conf", configuration)],
        is_main: |process| process.name == "apache2" && process.leads_its_session(),
        at_least: 3,
        after_kill: AfterKill::LivesOn,
        use_it: Some((HTTP_GET, "Server: Apache")),
        ..Daemon::single(
            "apache",
            "command: /usr/sbin/apachectl -f {dir}/apache.conf -k start\n",
            "resuming normal operations",
        )
    }
    .prove();
}

#[test]
fn php_fpm_is_followed_through_a_reload_in_which_it_forks_again() {
    let configuration = "\
[global]
pid = /run/php-fpm.pid
error_log = syslog
[www]
user = www-data
group = www-data
listen = /run/php-fpm.sock
pm = static
pm.max_children = 2
";
    Daemon {
        files: &[("php-fpm.conf", configuration)],
        is_main: |process| process.command.contains("master process"),
        at_least: 3,
        forks_on_reload: true,
        after_kill: AfterKill::LivesOn,
        // The program's name holds its version.
        ..Daemon::single(
            "php-fpm",
            "command:\n\
             - sh\n\
             - -c\n\
             - set -- /usr/sbin/php-fpm*; exec $1 -D -y {dir}/php-fpm.conf\n\
             reload_signal: USR2\n",
            "ready to handle connections",
        )
    }
    .prove();
}

#[test]
fn what_start_stop_daemon_puts_into_the_background_is_followed() {
    Daemon::single(
        "redis-by-sysv",
        "command: start-stop-daemon --start --background --make-pidfile --pidfile /run/redis.pid \
         --exec /usr/bin/redis-server -- --bind 127.0.0.1 --save '' --dir /run --syslog-enabled yes\n",
        "Ready to accept connections",
    )
    .prove();
}

#[test]
fn atd_is_followed() {
    Daemon {
        // The job runs below atd, so what it logs belongs to atd. Its logger stays for a moment: a
        // sender that is gone when its line is read is not known any more.
        use_it: Some(("echo '(echo the job has run; sleep 1) | logger' | at now 2>&1", "job ")),
        ..Daemon::single("atd", "command: /usr/sbin/atd\n", "the job has run")
    }
    .prove();
}

/// A small unit that needs neither namespaces nor configuration, for the other tests.
pub const SLEEPER: &str = "command: sleep infinity\nstop_grace_period: 5s\n";

/// Waits until a unit that stops nobody is up, and gives its only process.
pub fn sleeper(house: &House, unit: &str) -> Process {
    house.wait_state(unit, StateWord::Up, Duration::from_secs(5));
    let processes = house.processes(unit);
    assert_eq!(processes.len(), 1, "{processes:#?}");
    processes[0].clone()
}
