//! What both programs tell the process that started them: how they ended, and to a service manager, how far they are.
//!
//! It decides nothing and knows no secret. It is a module of its own because `agent`, `server` and `cli` speak these two
//! protocols alike, and none of the three may import one of the others for it.

mod exit;
mod sd_notify;

pub(crate) use exit::Exit;
pub(crate) use sd_notify::SdNotify;
