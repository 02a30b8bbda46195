//! Virtio devices over MMIO: the transport ([`mmio`]) and the devices that answer behind it.

pub(crate) mod block;
pub(crate) mod bundle;
#[cfg(test)]
#[path = "hostile_tests.rs"]
mod hostile;
pub(crate) mod mmio;
pub(crate) mod net;
pub(crate) mod pmem;
#[cfg(test)]
#[path = "rings_tests.rs"]
pub(crate) mod rings;
pub(crate) mod rng;
pub(crate) mod vsock;
pub(crate) mod vsock_stream;
