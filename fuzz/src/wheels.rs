//! `wheel_vs_model`: the timer wheel and its naive model run one program side by side.

use arbitrary::{Arbitrary, Unstructured};
use timer_wheel::{Wheel, model::Model};

#[derive(Debug, Arbitrary)]
enum Step {
    /// Due this much after the present; `far` shifts it to higher levels, up to all of time.
    Insert {
        delay: u16,
        far: u8,
    },
    /// Due this much before the present.
    InsertPast(u16),
    /// The timer with this number, counted back from the newest.
    Cancel(u8),
    Contains(u8),
    Pop {
        by: u16,
        far: u8,
    },
    /// A drain at a time that has passed.
    PopPast(u16),
    Advance {
        by: u16,
        far: u8,
    },
}

fn shifted(value: u16, far: u8) -> u64 {
    u64::from(value) << (far % 49)
}

/// The bytes are a program; every answer must be the same.
pub fn wheel_vs_model(data: &[u8]) {
    let mut input = Unstructured::new(data);
    let start = u64::from(input.arbitrary::<u32>().unwrap_or(0)) << 10;
    let (mut wheel, mut model) = (Wheel::new(start), Model::new(start));
    let mut keys = Vec::new();
    let mut item = 0_u32;
    while let Ok(step) = input.arbitrary::<Step>() {
        let now = model.now();
        match step {
            Step::Insert { delay, far } => {
                let due = now.saturating_add(shifted(delay, far));
                keys.push((wheel.insert(due, item), model.insert(due, item)));
                item += 1;
            }
            Step::InsertPast(before) => {
                let due = now.saturating_sub(u64::from(before));
                keys.push((wheel.insert(due, item), model.insert(due, item)));
                item += 1;
            }
            Step::Cancel(back) => {
                let known = keys.len().checked_sub(1 + usize::from(back));
                if let Some((a, b)) = known.and_then(|i| keys.get(i)) {
                    assert_eq!(wheel.cancel(*a), model.cancel(*b), "cancel");
                }
            }
            Step::Contains(back) => {
                let known = keys.len().checked_sub(1 + usize::from(back));
                if let Some((a, b)) = known.and_then(|i| keys.get(i)) {
                    assert_eq!(wheel.contains(*a), model.contains(*b), "contains");
                }
            }
            Step::Pop { by, far } => {
                let to = now.saturating_add(shifted(by, far));
                assert_eq!(wheel.pop(to), model.pop(to), "pop at {to}");
            }
            Step::PopPast(by) => {
                let to = now.saturating_sub(u64::from(by));
                assert_eq!(wheel.pop(to), model.pop(to), "pop at {to}, which is past");
            }
            Step::Advance { by, far } => {
                let to = now.saturating_add(shifted(by, far));
                let (mut a, mut b) = (Vec::new(), Vec::new());
                wheel.advance(to, |due, item| a.push((due, item)));
                model.advance(to, |due, item| b.push((due, item)));
                assert_eq!(a, b, "advance to {to}");
            }
        }
        assert_eq!((wheel.len(), wheel.now()), (model.len(), model.now()));
        assert_eq!(wheel.next_due(), model.next_due(), "next due");
        if input.is_empty() {
            break;
        }
    }
}
