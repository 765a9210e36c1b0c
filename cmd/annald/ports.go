package main

import (
	"context"
	"log/slog"
	"path/filepath"

	"github.com/annalhq/annal/commands"
	"github.com/annalhq/annal/internal/config"
	"github.com/annalhq/annal/internal/fault"
	"github.com/annalhq/annal/internal/providers/carrier"
	"github.com/annalhq/annal/internal/providers/guard"
	"github.com/annalhq/annal/internal/providers/notify"
	"github.com/annalhq/annal/internal/providers/notify/sink"
	"github.com/annalhq/annal/internal/providers/payment"
	"github.com/annalhq/annal/internal/run"
)

// ports chooses the adapters. What is imported needs no world outside. In development money and parcels are simulated, with
// ledgers in files of the home, and mails go into a sink there unless a server is named; production refuses simulators, and
// until it has adapters of its own, orders there end with a typed refusal of the missing port.
func (d *Daemon) ports() (commands.Ports, error) {
	ports := commands.Ports{
		Payments: map[string]payment.Port{"imported": payment.Imported{}},
		Carriers: map[string]carrier.Port{"imported": carrier.Imported{}},
		Channels: map[string]notify.Port{},
	}
	if d.cfg.Mode == config.Development {
		if err := d.simulate(ports); err != nil {
			return ports, err
		}
	}
	mail, err := d.mail()
	if err != nil || mail == nil {
		return ports, err
	}
	ports.Channels["mail"] = notify.Guarded(mail, d.guard("mail"))
	return ports, nil
}

func (d *Daemon) simulate(ports commands.Ports) error {
	dir := filepath.Join(d.cfg.Home, "simulators")
	money, err := payment.NewSimulator(payment.SimulatorConfig{Path: filepath.Join(dir, "payments.jsonl")})
	if err != nil {
		return err
	}
	d.closers = append(d.closers, func(context.Context) error { return money.Close() })
	parcels, err := carrier.NewSimulator(carrier.SimulatorConfig{Path: filepath.Join(dir, "parcels.jsonl")})
	if err != nil {
		return err
	}
	d.closers = append(d.closers, func(context.Context) error { return parcels.Close() })
	for _, channel := range []string{"sms", "push"} {
		simulator, err := notify.NewSimulator(notify.SimulatorConfig{Path: filepath.Join(dir, channel+".jsonl")})
		if err != nil {
			return err
		}
		d.closers = append(d.closers, func(context.Context) error { return simulator.Close() })
		ports.Channels[channel] = notify.Guarded(simulator, d.guard(channel))
	}
	ports.Payments["card"] = payment.Guarded(money, d.guard("card"))
	ports.Carriers["standard"] = carrier.Guarded(parcels, d.guard("standard"))
	return nil
}

// mail returns the mail server that is configured, or the sink of a developer's machine; nil if there is neither.
func (d *Daemon) mail() (notify.Port, error) {
	cfg := notify.SMTPConfig{Address: d.cfg.SMTPAddress, From: d.cfg.SMTPFrom, Security: notify.Security(d.cfg.SMTPSecurity),
		Username: d.cfg.SMTPUser, Password: d.cfg.SMTPPassword}
	if cfg.Address == "" {
		if d.cfg.Mode != config.Development {
			return nil, nil
		}
		box, err := sink.New(sink.Config{Dir: filepath.Join(d.cfg.Home, "mail")})
		if err != nil {
			return nil, err
		}
		d.parts = append(d.parts, run.Part{Name: "mail sink", Run: box.Run})
		cfg.Address, cfg.Security = box.Addr(), notify.Plain
	}
	smtp, err := notify.NewSMTP(cfg)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "SETTING_INVALID", "the ANNAL_SMTP settings don't go together")
	}
	return smtp, nil
}

func (d *Daemon) guard(name string) *guard.Guard {
	return guard.New(name, guard.Config{OnChange: func(name, from, to string) {
		d.log.Warn("circuit breaker", slog.String("port", name), slog.String("from", from), slog.String("to", to))
	}})
}
