//! The network of a confined child: a loopback that is its own, with our listeners on it.
//!
//! A socket belongs to the network namespace it was made in, whoever holds it. So the listeners are made in here and
//! handed out: what is outside answers, and nothing in here leads out.

use std::net::{Ipv4Addr, TcpListener};

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with,
};

use super::failed::{At, Failed};

/// Makes the loopback work and listens on each of `ports`.
pub(super) fn raise(ports: &[u16]) -> Result<Vec<TcpListener>, Failed> {
    up()?;
    let listen = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port));
    ports.iter().map(listen).collect::<Result<_, _>>().at("listening on the loopback")
}

fn up() -> Result<(), Failed> {
    let step = "bringing up the loopback";
    let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None);
    let socket = socket.at(step)?;
    let mut message = Vec::new();
    // The header: length, kind, flags, sequence, sender.
    message.extend(MESSAGE_BYTES.to_ne_bytes());
    message.extend(RTM_NEWLINK.to_ne_bytes());
    message.extend((NLM_F_REQUEST | NLM_F_ACK).to_ne_bytes());
    message.extend([1_u32.to_ne_bytes(), 0_u32.to_ne_bytes()].concat());
    // The link: any family, any kind, the first of the namespace, up.
    message.extend([0, 0, 0, 0]);
    message.extend(LOOPBACK_INDEX.to_ne_bytes());
    message.extend([IFF_UP.to_ne_bytes(), IFF_UP.to_ne_bytes()].concat());
    let kernel = SocketAddrNetlink::new(0, 0);
    sendto(&socket, &message, SendFlags::empty(), &kernel).at(step)?;
    let mut answer = [0_u8; ANSWER_BYTES];
    recv(&socket, &mut answer[..], RecvFlags::empty()).at(step)?;
    // The header again, then what went wrong: nothing is zero.
    let code = answer.get(HEADER_BYTES..HEADER_BYTES + 4).and_then(|code| code.try_into().ok());
    match code.map(i32::from_ne_bytes) {
        Some(0) => Ok(()),
        code => Err(format!("the kernel answered {code:?}")).at(step),
    }
}

const HEADER_BYTES: usize = 16;
const MESSAGE_BYTES: u32 = 32;
/// An answer is the header, a code and the header it answers.
const ANSWER_BYTES: usize = 256;
const RTM_NEWLINK: u16 = 16;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const LOOPBACK_INDEX: i32 = 1;
const IFF_UP: u32 = 1;
