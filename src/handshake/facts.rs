//! The facts of an attempt that the inference wants beside its phase.

/// Facts that the inference wants beside the phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Facts {
    /// The SYN is in the capture.
    pub syn_seen: bool,
    /// The SYN came after the SYN-ACK within the reordering a capture makes.
    pub syn_late: bool,
    /// The SYN carried no TCP option: no operating system sends such a SYN.
    pub syn_without_options: bool,
    /// A SYN-ACK is in the capture.
    pub synack_seen: bool,
    /// A segment from the client other than the SYN is in the capture.
    pub client_went_on: bool,
    /// The server established the connection.
    pub established: bool,
    /// SYN-ACK was repeated after the ACK, or RST answered it, before anything else did.
    pub contradicted: bool,
    /// Both ends sent SYN (RFC 9293 §3.5).
    pub simultaneous: bool,
    /// The client acknowledged a number that no SYN-ACK in the capture offered.
    pub wrong_ack: bool,
    /// The RST answered the first valid ACK.
    pub rst_to_first_ack: bool,
    /// The RST stands before the ACK, and nothing else shows that the capture is out of order.
    pub rst_before_ack: bool,
    /// The RST has the form of `tcp_v4_send_reset`: window 0 and no options.
    pub rst_kernel_form: bool,
    /// The RST's TTL differs from the SYN-ACK's.
    pub rst_ttl_differs: bool,
    /// SYN-ACK was repeated after the RST: the server never saw the ACK.
    pub synack_after_rst: bool,
    /// The server sent data after the RST: the RST was not its own.
    pub data_after_rst: bool,
    /// RST with ACK came from the server right after the handshake.
    pub application_reset: bool,
    /// That RST carried an open window: the sender had established the connection.
    pub rst_window_open: bool,
    /// Which of the client's segments after the SYN-ACK the RST answered, from 1.
    pub rst_answers_segment: u16,
    /// The client reset the connection after its ACK.
    pub client_aborted: bool,
    /// The server answered the client's ACK or data with an ACK that acknowledges neither: it proves no
    /// connection, yet the client was not ignored.
    pub server_answered: bool,
    /// The server sent a segment with numbers of another connection.
    pub server_out_of_window: bool,
    /// The server sent data or FIN.
    pub server_spoke: bool,
    /// The server should have had data or FIN too, not only an ACK, when it repeated SYN-ACK.
    pub data_ignored: bool,
    /// How often the client repeated data or FIN while the server was silent.
    pub data_repeats: u16,
}

impl Facts {
    /// The client repeated data or FIN at least twice, and the server never answered.
    pub(in crate::handshake) fn ignored_data(&self) -> bool {
        self.data_repeats >= 2 && !self.server_answered
    }
}
