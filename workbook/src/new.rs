//! `cargo workbook new`.
use crate::learner::Learner;
use crate::said::Said;
pub fn new(_: &Learner, _: &str) -> Said<()> {
    Ok(())
}
