//! Frames of whole handshakes, with the verdict that each must get.

const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const PSH: u8 = 0x08;
const ACK: u8 = 0x10;

/// The verdict of attempt `n`: six in ten complete.
pub(crate) fn verdict(n: u32) -> &'static str {
    match n % 10 {
        0 => "refused",
        1 => "reset-after-ack",
        2 => "half-open",
        3 => "unanswered",
        _ => "completed",
    }
}

/// The frames of attempt `n` that make this verdict, in order.
pub(crate) fn attempt(n: u32, verdict: &str) -> Vec<Vec<u8>> {
    let (client, server) = (n.wrapping_mul(2_654_435_761), n.wrapping_mul(40_503) ^ 0x5555_0000);
    let (c1, s1) = (client.wrapping_add(1), server.wrapping_add(1));
    let to = |flags, seq, ack, payload| segment(n, false, flags, seq, ack, payload);
    let from = |flags, seq, ack, payload| segment(n, true, flags, seq, ack, payload);
    let mut frames = vec![to(SYN, client, 0, 0)];
    match verdict {
        "unanswered" => return frames,
        "refused" => {
            frames.push(from(RST | ACK, 0, c1, 0));
            return frames;
        }
        _ => frames.push(from(SYN | ACK, server, c1, 0)),
    }
    if verdict == "half-open" {
        return frames;
    }
    frames.push(to(ACK, c1, s1, 0));
    if verdict == "reset-after-ack" {
        frames.push(from(RST, s1, 0, 0));
        return frames;
    }
    frames.push(to(PSH | ACK, c1, s1, 10));
    frames.push(from(PSH | ACK, s1, c1.wrapping_add(10), 20));
    frames
}

/// A segment of attempt `n` in an Ethernet frame. Checksums stay unset, as offload leaves them.
fn segment(n: u32, from_server: bool, flags: u8, seq: u32, ack: u32, payload: u16) -> Vec<u8> {
    let [_, _, high, low] = (n / 50).to_be_bytes();
    let client = ([10, 1, high, low], 10_000 + (n % 50) as u16);
    let server = ([10, 2, 0, 1], 443_u16);
    let (source, destination) = if from_server { (server, client) } else { (client, server) };
    // Linux resets a request with window 0 and without options.
    let window: u16 = if flags == RST { 0 } else { 64_240 };
    let mut frame = vec![2; 12];
    frame.extend([0x08, 0, 0x45, 0]);
    frame.extend((40 + payload).to_be_bytes());
    frame.extend([0, 0, 0x40, 0, 64, 6, 0, 0]);
    frame.extend(source.0);
    frame.extend(destination.0);
    frame.extend(source.1.to_be_bytes());
    frame.extend(destination.1.to_be_bytes());
    frame.extend(seq.to_be_bytes());
    frame.extend(ack.to_be_bytes());
    frame.extend([0x50, flags]);
    frame.extend(window.to_be_bytes());
    frame.extend([0; 4]);
    frame.resize(frame.len() + usize::from(payload), b'x');
    frame
}
