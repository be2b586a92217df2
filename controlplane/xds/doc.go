// Package xds gives Envoys their configuration: the filter by ECDS, the AS's
// clusters by CDS, the credentials by SDS, over ADS or over the services of their
// own, state of the world or delta.
//
// [Server.Push] takes a whole [Resources]; what did not change keeps its version
// and is not sent again. A version is a hash of the content, so a control plane
// that was restarted sends nothing anew to an Envoy that has it already. The
// version of secrets is keyed by the process, for config_dump shows it.
//
// A refusal (NACK) is kept in [Server.Envoys] with Envoy's words until that Envoy
// accepts something newer; the refused configuration is not sent to it again, and
// Envoy keeps the one before.
package xds
