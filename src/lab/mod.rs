//! The lab: experiments with the kernel's own TCP in private network namespaces.
//!
//! Owns namespaces, the path with its capture points, the scenarios and what they expect. Does not own
//! the client's calls (`race`) nor what packets mean (`handshake`, `listener`).
//!
//! Everything runs in threads of this process and in namespaces without a name, and ends with them.

mod analysis;
mod burner;
mod comparison;
mod events;
mod experiment;
mod listener;
mod namespace;
mod network;
mod path;
mod plot;
mod replay;
mod scenario;
mod tun;
mod wire;

pub use analysis::{BothEnds, EndView, Resets};
pub use comparison::{ComparedRow, Comparison};
pub use events::DropEvents;
pub use experiment::{Experiment, LabClients, LabError, PORT, Running, Setup, Trace};
pub use listener::{AcceptPolicy, LabListener};
pub use namespace::{Namespace, NamespaceError, acquire_privilege};
pub use network::NetworkError;
pub use path::{LabPath, PathAddresses, PathFate, PathFault, PathSegment, TreatedSegment};
pub use plot::{draw_svg, draw_text};
pub use replay::{Replay, ReplayOutcome};
pub use scenario::{CpuLoad, Curve, Custom, Parameter, Parameters, Point, Scenario, ScenarioOutcome, Share};
pub use tun::TunError;
