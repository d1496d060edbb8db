//! The lab: experiments with the kernel's own TCP in private network namespaces.
//!
//! Owns namespaces, the path with its capture points, the scenarios and what they expect. Does not own
//! the client's calls (`race`) nor what packets mean (`handshake`, `listener`).
//!
//! Everything lives in threads of this process and in namespaces without a name, and goes with them.

mod analysis;
mod burner;
mod experiment;
mod findings;
mod listener;
mod namespace;
mod network;
mod path;
mod pcapng;
mod plot;
mod scenario;
mod tun;
mod wire;

pub use analysis::{Resets, View, Views};
pub use experiment::{Clients, Experiment, LabError, PORT, Running, Setup, Trace};
pub use findings::{Findings, Row};
pub use listener::{AcceptPolicy, Listener};
pub use namespace::{Namespace, NamespaceError, acquire_privilege};
pub use network::NetworkError;
pub use path::{Ends, Path};
pub use pcapng::write as write_pcapng;
pub use plot::{draw_svg, draw_text};
pub use scenario::{Curve, Custom, Load, Outcome, Parameter, Parameters, Point, Scenario, Share};
pub use tun::TunError;
