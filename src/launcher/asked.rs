//! Who gave orders for a unit, and what an order finds.

use super::Launcher;
use crate::supervision::name::UnitName;
use crate::supervision::status::StateWord;
use crate::supervision::{Order, Want};

/// An order for a unit, and who gave it.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    /// What was ordered.
    pub order: Order,
    /// By which process.
    pub pid: i32,
    /// Of which user.
    pub uid: u32,
    /// When: milliseconds since the Unix epoch.
    pub at: u64,
}

/// Who gave orders for a unit.
#[derive(Debug, Clone, Copy)]
pub struct Orders {
    /// The last one of all, whatever became of it.
    pub last: Asked,
    /// The last one that ended something: what came later, and found nothing to end, is not the
    /// reason why the unit is down.
    pub end: Option<Asked>,
}

impl Launcher {
    /// Remembers who gave an order, before it is carried out.
    pub(super) fn note_order(&mut self, name: &UnitName, asked: Asked) {
        let before = self.asked_by.get(name).and_then(|orders| orders.end);
        let ends = matches!(asked.order, Order::Stop | Order::Restart)
            && match self.word(name) {
                None | Some(StateWord::Down | StateWord::Failed) => false,
                // It ends already; only another reason for that is news.
                Some(StateWord::Stopping | StateWord::Killing) => {
                    before.is_none_or(|before| before.order != asked.order)
                }
                Some(_) => true,
            };
        let end = if ends { Some(asked) } else { before };
        self.asked_by.insert(name.clone(), Orders { last: asked, end });
    }

    /// What a stop of a unit without processes comes to, before it is carried out.
    pub(super) fn at_rest(&self, name: &UnitName) -> Option<&'static str> {
        let service = self.supervisor.service(name.as_str())?;
        match (service.word(), service.want()) {
            (word, _) if word.is_alive() => None,
            (StateWord::Waiting | StateWord::Blocked, _) => {
                Some("was not running, and is not started any more")
            }
            (_, Want::Armed) => Some("was not running, and waits for nothing any more"),
            _ => Some("was not running"),
        }
    }
}
