//! KVM: whether it works here ([`probe`]), the guest's processor ([`vcpu`]), its saved registers ([`state`]), its
//! counter ([`tsc`]), and the signals that interrupt it ([`signal`]).

pub(crate) mod probe;
pub(crate) mod signal;
pub(crate) mod state;
pub(crate) mod tsc;
pub(crate) mod vcpu;
