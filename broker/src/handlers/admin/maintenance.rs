//! Requests to clean up by hand: 306, 316, 329.

use crate::remoting::{Handled, Response};

/// There are no queue files and no files of unused topics, and the store trims its log by the retention rule as it
/// goes. So what these codes ask for is done already.
pub(super) fn nothing_to_clean() -> Handled {
    Ok(Response::ok().into())
}
