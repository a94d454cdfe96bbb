//! Damage to durable bytes of the log.

use crate::Verdict;
use crate::history::History;

impl History {
    /// The last life ends with damage.
    pub(crate) fn damage(&mut self) -> Verdict {
        self.quiet_end()
    }

    fn quiet_end(&mut self) -> Verdict {
        self.crash(true, false)
    }
}
