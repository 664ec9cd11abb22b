//! A full-screen view of the queue.
//!
//! What is on the screen and what a key means is decided by [`screen`], which is pure; this file
//! only moves bytes between it, the terminal and the queue. The terminal is put back when the view
//! ends by a key or an error. Keys that would raise signals are read as keys, so that Ctrl-C leaves
//! the view and not a broken terminal.

mod screen;
#[cfg(test)]
mod tests;

use std::{
    fs::File,
    io::{self, Read, Write},
};

use iddio_mint::ApproverKey;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    termios::tcgetwinsize,
};

use self::screen::{Key, Screen, Size, Wish};
use crate::{
    queue::{Approval, Denial, Filter, Queue, QueueError, Reviewed, Signer},
    terminal::{self, Changed},
};

/// The view could not be shown.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WatchError {
    /// There is no terminal, or it failed.
    #[error("the terminal failed: {0}")]
    Terminal(#[from] io::Error),
    /// The queue could not be used.
    #[error(transparent)]
    Queue(#[from] QueueError),
}

/// Shows the queue on the controlling terminal until the user leaves.
///
/// Answers are signed with `key`, or bear no signature where that is enough.
///
/// # Errors
///
/// When there is no terminal, or the queue cannot be used.
pub fn run(mut queue: Queue, key: Option<&ApproverKey>) -> Result<(), WatchError> {
    let tty = terminal::open()?;
    let settings = Changed::raw(&tty)?;
    let mut output = tty.try_clone()?;
    output.write_all(ENTER)?;
    let shown = show(&mut queue, key, &tty, &mut output);
    let left = output.write_all(LEAVE);
    drop(settings);
    shown?;
    Ok(left?)
}

fn show(
    queue: &mut Queue,
    key: Option<&ApproverKey>,
    tty: &File,
    output: &mut File,
) -> Result<(), WatchError> {
    let mut screen = Screen::default();
    let mut drawn = String::new();
    loop {
        let listed = queue.list(Filter::Open)?;
        let mut fates = Vec::new();
        for id in screen.missing(&listed.entries) {
            // Pruned meanwhile: it is over, and nothing else is known.
            fates.extend(queue.show(id.as_str()).ok());
        }
        let now = queue.now();
        screen.refresh(listed.entries, fates, now);
        let text = screen.draw(size(tty), now);
        if text != drawn {
            output.write_all(HOME)?;
            output.write_all(text.replace('\n', "\x1b[K\r\n").as_bytes())?;
            output.write_all(REST)?;
            drawn = text;
        }
        for pressed in keys(tty)? {
            match screen.press(pressed, queue.now()) {
                Wish::Nothing => {}
                Wish::Leave => return Ok(()),
                Wish::Approve { id, digest } => {
                    let signer = key.map_or(Signer::Unsigned, Signer::Key);
                    let reviewed = Reviewed::Digest(&digest);
                    let approval = Approval { signer, ticket_millis: None, reviewed };
                    screen.tell(match queue.approve(id.as_str(), approval) {
                        Ok(said) => format!(
                            "approved {id} (assurance: {}; {} of {})",
                            said.assurance.name(),
                            said.have,
                            said.need
                        ),
                        Err(error) => error.to_string(),
                    });
                }
                Wish::Deny { id } => {
                    let signer = key.map_or(Signer::Unsigned, Signer::Key);
                    let denial = Denial { signer, reason: None };
                    screen.tell(match queue.deny(id.as_str(), denial) {
                        Ok(_) => format!("denied {id}"),
                        Err(error) => error.to_string(),
                    });
                }
            }
        }
    }
}

fn size(tty: &File) -> Size {
    let known = tcgetwinsize(tty).ok().filter(|size| 0 < size.ws_row && 0 < size.ws_col);
    known.map_or(Size { rows: 24, columns: 80 }, |size| Size {
        rows: usize::from(size.ws_row),
        columns: usize::from(size.ws_col),
    })
}

/// Returns the keys pressed within a quarter of a second.
fn keys(tty: &File) -> io::Result<Vec<Key>> {
    let timeout = Timespec { tv_sec: 0, tv_nsec: 250_000_000 };
    let mut sources = [PollFd::new(tty, PollFlags::IN)];
    match poll(&mut sources, Some(&timeout)) {
        Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(Vec::new()),
        Ok(_) => {}
        Err(errno) => return Err(errno.into()),
    }
    let mut bytes = [0; 64];
    let mut input = tty;
    match input.read(&mut bytes)? {
        0 => Ok(vec![Key::Leave]),
        read => Ok(screen::keys(bytes.get(..read).unwrap_or_default())),
    }
}

/// Changes to the other screen and hides the cursor.
const ENTER: &[u8] = b"\x1b[?1049h\x1b[?25l";

/// Shows the cursor and changes back.
const LEAVE: &[u8] = b"\x1b[?25h\x1b[?1049l";

/// Moves to the upper left corner.
const HOME: &[u8] = b"\x1b[H";

/// Clears what is below.
const REST: &[u8] = b"\x1b[K\x1b[J";
