//! What differs between two units in what starts them. All of it counts from the next start of a
//! service that lives.

use super::activation::{Activation, Mode, Socket};
use super::diff::{Keys, duration, list};
use super::timers::Timer;

impl Keys {
    pub(super) fn of_activation(&mut self, activation: Option<&Activation>) {
        let none = Activation::default();
        let Activation { sockets, mode, timers, paths } = activation.unwrap_or(&none);
        let socket = |socket: &Socket| {
            let Socket {
                name,
                address: _,
                style: _,
                mode,
                user,
                group,
                backlog,
                ipv6_only,
                reuse_port,
                free_bind,
            } = socket;
            let owner = [user, group].map(|it| it.as_deref().unwrap_or("-")).join(":");
            let backlog = backlog.map_or("-".to_owned(), |backlog| backlog.to_string());
            let flags = [(ipv6_only, "ipv6_only"), (reuse_port, "reuse_port")];
            let flags = flags.into_iter().chain([(free_bind, "free_bind")]);
            let flags: String = flags.filter(|it| *it.0).map(|it| format!(" {}", it.1)).collect();
            format!("{name}: {socket} (mode {mode:04o}, {owner}, backlog {backlog}{flags})")
        };
        let timer = |timer: &Timer| {
            let persistent = if timer.persistent { " persistent" } else { "" };
            format!("{timer}{persistent} (jitter {})", duration(timer.jitter))
        };
        self.at_start("sockets", list(sockets.iter().map(socket)));
        self.at_start("activation", (*mode == Mode::OnDemand).then(|| "on_demand".to_owned()));
        self.at_start("timer", list(timers.iter().map(timer)));
        self.at_start("paths", list(paths.iter().map(ToString::to_string)));
    }
}
