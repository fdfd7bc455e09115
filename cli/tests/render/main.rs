//! How answers and help look: golden files, rewritten with `IOTQ_BLESS=1`.

mod ask;
mod golden;
mod hostile;
mod report;
mod rows;
