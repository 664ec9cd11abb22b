//! The machine's clocks and dice, behind the core's traits.

pub use iddio_audit::clock::SystemClock;
use iddio_core::operation::OperationId;

/// Draws the id of a new operation from the kernel's random numbers.
///
/// # Errors
///
/// When the kernel has none to give, which no supported kernel does after boot.
pub fn draw_id() -> Result<OperationId, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(OperationId(u128::from_le_bytes(bytes)))
}
