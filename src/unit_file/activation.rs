//! What starts a unit: the word for it, and what its keys say together.

use std::sync::Arc;

use super::diagnostic::{Report, Wrong, quoted};
use super::draft::Draft;
use super::sockets::Read;
use crate::supervision::activation::{Activation, Mode, PathTrigger};
use crate::supervision::timers::Timer;
use crate::supervision::unit::Kind;

pub(super) const MODE: &str = "boot or on_demand";

/// The keys that were written.
#[derive(Default)]
pub(super) struct ActivationDraft {
    pub sockets: Vec<Read>,
    pub mode: Option<Mode>,
    pub timers: Vec<Timer>,
    pub paths: Vec<PathTrigger>,
}

pub(super) fn mode(text: &str) -> Result<Mode, Wrong> {
    match text {
        "boot" => Ok(Mode::Boot),
        "on_demand" => Ok(Mode::OnDemand),
        "on-demand" | "demand" | "socket" | "lazy" => {
            Err(Wrong::new(format!("there is no {}", quoted(text))).hint("did you mean on_demand?"))
        }
        _ => Err(Wrong::new(format!("there is no {}", quoted(text)))),
    }
}

impl Draft {
    /// Checks what the keys say together; `None` for a unit that none of them is in.
    pub(super) fn finish_activation(
        &mut self,
        kind: Kind,
        report: &mut Report<'_>,
    ) -> Option<Arc<Activation>> {
        let draft = std::mem::take(&mut self.activation);
        let mode = draft.mode.unwrap_or_default();
        if draft.mode.is_some() && self.place("sockets").is_none() {
            let message = "there are no sockets that could start it; add sockets:, or remove this";
            self.complain("activation", report, message);
        }
        if mode == Mode::OnDemand && kind == (Kind::Oneshot { remain_after_exit: true }) {
            let message = "a oneshot that remains is started once; remove one of them";
            self.complain("activation", report, message);
        }
        self.check_timer(kind, report);
        let mut sockets = Vec::with_capacity(draft.sockets.len());
        for Read { place, socket } in draft.sockets {
            let earlier = sockets.iter().find(|other| socket.is_in_the_way_of(other));
            if let Some(earlier) = earlier {
                let message = format!(
                    "{socket} is taken by {}, another socket of this unit; keep one of them",
                    quoted(&earlier.name)
                );
                let name = socket.name.clone();
                report.inside("sockets", |report| {
                    report.inside(&name, |report| report.at(place, message));
                });
            }
            sockets.push(socket);
        }
        if !draft.paths.is_empty() && kind == (Kind::Oneshot { remain_after_exit: true }) {
            let message = "a oneshot that remains runs once; remove remain_after_exit";
            self.complain("paths", report, message);
        }
        let (timers, paths) = (draft.timers, draft.paths);
        let activation = Activation { sockets, mode, timers, paths };
        (activation != Activation::default()).then(|| Arc::new(activation))
    }

    fn check_timer(&self, kind: Kind, report: &mut Report<'_>) {
        let message = match kind {
            _ if self.place("sockets").is_some() => {
                "a unit with sockets goes on; put the work that is due into another unit"
            }
            Kind::Oneshot { remain_after_exit: false } => return,
            Kind::Oneshot { remain_after_exit: true } => {
                "a oneshot that remains runs once; remove remain_after_exit"
            }
            Kind::Auto | Kind::Simple | Kind::Forking | Kind::Notify => {
                "a timer is for work that ends; expected type: oneshot, or no type"
            }
        };
        self.complain("timer", report, message);
    }
}
