//! Why some of RocketMQ's codes are not served.

use crate::remoting::{Response, codes::response};

/// The answer to a code that is not served: with the reason, where it is known what the code is for.
pub(super) fn refusal(code: i32) -> Response {
    let why = match code {
        906..=908 | 1001..=1013 => {
            "a broker here has no slaves and no controller that could be asked or told"
        }
        902 | 903 => "a process here is one broker, not a container of brokers",
        2001..=2004 => {
            "reads of cold data are not limited by group, and the log needs no mode for reading ahead"
        }
        3001..=3010 => "there are no users and no access rules: whoever reaches the port may do everything",
        354 | 355 => "nothing is stored in RocksDB",
        513 => "static topics, whose queues move between brokers, are not served",
        5001 => "there is one timer engine, in the log itself",
        200_050..=200_056 | 200_151 | 402 => "consumption by pop is not served; consumers pull",
        200_070..=200_079 => "lite topics are not served",
        _ => return Response::unsupported(code),
    };
    let text = format!("request code {code} is not served: {why}");
    Response::refuse(response::REQUEST_CODE_NOT_SUPPORTED, text)
}
