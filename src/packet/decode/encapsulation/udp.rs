//! UDP, as far as it carries tunnels.

use super::{Layer, Skip, decoder};
use crate::packet::Protocol;
use crate::packet::decode::bytes::Bytes;

/// Removes a UDP header, and the header of a tunnel on one of its ports.
///
/// The destination port counts first; answers of some tunnels have the known port as source. A tunnel header that
/// is not plausible makes it ordinary UDP, not a malformed packet.
pub(super) fn decode(bytes: &mut Bytes<'_>) -> Result<Layer, Skip> {
    let &[s0, s1, d0, d1] = match bytes.peek() {
        Err(Skip::Malformed) => return Ok(Layer::Unknown),
        ports => ports?,
    };
    let (source, destination) = (u16::from_be_bytes([s0, s1]), u16::from_be_bytes([d0, d1]));
    let mut undecoded = Protocol::UdpPort(source.min(destination));
    for port in [destination, source].map(Protocol::UdpPort) {
        let Some(decode) = decoder(port) else { continue };
        undecoded = port;
        let mut payload = *bytes;
        payload.skip(8)?;
        match decode(&mut payload) {
            Ok(Layer::Unknown) | Err(Skip::Malformed) => {}
            Ok(layer) => {
                *bytes = payload;
                return Ok(layer);
            }
            Err(skip) => return Err(skip),
        }
    }
    Ok(Layer::Undecoded(undecoded))
}
