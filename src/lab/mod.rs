//! lab
mod namespace;
mod network;
mod path;
mod tun;
mod wire;
