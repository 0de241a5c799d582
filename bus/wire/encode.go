package wire

import "math"

// Append implements Performative.
func (p *Open) Append(b []byte) []byte {
	c := openComposite(b, idOpen)
	c.text(p.ContainerID)
	c.some(p.Hostname)
	c.uintOr(p.MaxFrameSize, math.MaxUint32)
	c.ushort(p.ChannelMax)
	c.uintOr(p.IdleTimeout, 0)
	c.null() // outgoing-locales: en-US, which needs no saying
	c.null()
	c.symbols(p.Offered)
	c.symbols(p.Desired)
	c.properties(p.Properties)
	return c.close()
}

// Append implements Performative.
func (p *Begin) Append(b []byte) []byte {
	c := openComposite(b, idBegin)
	if p.RemoteChannel.Set {
		c.ushort(uint16(p.RemoteChannel.V))
	} else {
		c.null()
	}
	c.uint(Some(p.NextOutgoingID))
	c.uint(Some(p.IncomingWindow))
	c.uint(Some(p.OutgoingWindow))
	c.uintOr(p.HandleMax, math.MaxUint32)
	c.symbols(p.Offered)
	c.symbols(p.Desired)
	c.properties(p.Properties)
	return c.close()
}

// Append implements Performative.
func (p *Attach) Append(b []byte) []byte {
	c := openComposite(b, idAttach)
	c.text(p.Name)
	c.uint(Some(p.Handle))
	c.put(appendBool(c.b, p.Receiver))
	c.ubyte(p.SenderSettleMode, SenderMixed)
	c.ubyte(p.ReceiverSettleMode, ReceiverFirst)
	c.source(p.Source)
	if p.Coordinator {
		c.put(append(c.b, codeDescribed, codeSmallUlong, idCoordinator, codeList0))
	} else {
		c.target(p.Target)
	}
	c.null() // unsettled: links are not resumed
	c.null()
	c.uint(p.InitialDeliveryCount)
	if p.MaxMessageSize == 0 {
		c.null()
	} else {
		c.ulong(p.MaxMessageSize)
	}
	c.symbols(p.Offered)
	c.symbols(p.Desired)
	c.properties(p.Properties)
	return c.close()
}

// Append implements Performative.
func (p *Flow) Append(b []byte) []byte {
	c := openComposite(b, idFlow)
	c.uint(p.NextIncomingID)
	c.uint(Some(p.IncomingWindow))
	c.uint(Some(p.NextOutgoingID))
	c.uint(Some(p.OutgoingWindow))
	c.uint(p.Handle)
	c.uint(p.DeliveryCount)
	c.uint(p.LinkCredit)
	c.uint(p.Available)
	c.bool(p.Drain, false)
	c.bool(p.Echo, false)
	return c.close()
}

// Append implements Performative.
func (p *Transfer) Append(b []byte) []byte {
	c := openComposite(b, idTransfer)
	c.uint(Some(p.Handle))
	c.uint(p.DeliveryID)
	c.binary(p.Tag)
	c.uint(p.Format)
	c.bool(p.Settled, false)
	c.bool(p.More, false)
	c.null()
	c.state(p.State)
	c.null()
	c.bool(p.Aborted, false)
	return c.close()
}

// Append implements Performative.
func (p *Disposition) Append(b []byte) []byte {
	c := openComposite(b, idDisposition)
	c.put(appendBool(c.b, p.Receiver))
	c.uint(Some(p.First))
	c.uint(p.Last)
	c.bool(p.Settled, false)
	c.state(p.State)
	return c.close()
}

// Append implements Performative.
func (p *Detach) Append(b []byte) []byte {
	c := openComposite(b, idDetach)
	c.uint(Some(p.Handle))
	c.bool(p.Closed, false)
	c.condition(p.Error)
	return c.close()
}

// Append implements Performative.
func (p *End) Append(b []byte) []byte {
	c := openComposite(b, idEnd)
	c.condition(p.Error)
	return c.close()
}

// Append implements Performative.
func (p *Close) Append(b []byte) []byte {
	c := openComposite(b, idClose)
	c.condition(p.Error)
	return c.close()
}

// Append implements Performative.
func (p *Mechanisms) Append(b []byte) []byte {
	c := openComposite(b, idMechanisms)
	c.put(appendSymbols(c.b, p.Names))
	return c.close()
}

// Append implements Performative.
func (p *Init) Append(b []byte) []byte {
	c := openComposite(b, idInit)
	c.symbol(p.Mechanism)
	c.binary(p.Response)
	c.some(p.Hostname)
	return c.close()
}

// Append implements Performative.
func (p *Challenge) Append(b []byte) []byte {
	c := openComposite(b, idChallenge)
	c.put(appendBinary(c.b, p.Challenge))
	return c.close()
}

// Append implements Performative.
func (p *Response) Append(b []byte) []byte {
	c := openComposite(b, idResponse)
	c.put(appendBinary(c.b, p.Response))
	return c.close()
}

// Append implements Performative.
func (p *Outcome) Append(b []byte) []byte {
	c := openComposite(b, idOutcome)
	c.put(append(c.b, codeUbyte, p.Code))
	c.binary(p.Additional)
	return c.close()
}
