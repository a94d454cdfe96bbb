//! What nothing needs any more goes: a disk does not fill with it.

use backends::StreamInfo;

use super::{Verdict, place, require};
use crate::raw::base::RawBase;
use crate::raw::log::numbered;

/// At rest, and where nothing failed, no segment and no index file is left that lies below the starts of the two newest
/// bases, and there is no third base.
///
/// # Errors
/// If one is.
pub fn nothing_left(streams: &[StreamInfo], dump: impl Fn(&StreamInfo) -> Option<Vec<u8>>) -> Verdict {
    let of =
        |kind: &'static str| streams.iter().filter_map(move |info| Some((numbered(&info.name, kind)?, info)));
    let sealed: Vec<_> = of("base").filter(|(_, info)| info.sealed).collect();
    require(sealed.len() <= 2, "space", || format!("{} bases", sealed.len()))?;
    let starts: Vec<u64> =
        sealed.iter().filter_map(|(_, info)| Some(RawBase::parse(&dump(info)?)?.start)).collect();
    let [older, newest] = starts[..] else { return Ok(()) };
    let start = older.min(newest);
    let left = ["log", "idx"].into_iter().flat_map(of).find(|(at, _)| *at < start);
    require(left.is_none(), "space", || {
        let name = left.map(|(_, info)| info.name.clone());
        format!("{name:?} is left, and the log begins at {}", place(start))
    })
}
