package config

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"time"

	"github.com/sluiceio/sluice/bridge"
	"github.com/sluiceio/sluice/source/mqtt"
)

// onlyFilters reports whether a changed source, given as Changes name it, differs in
// what it is subscribed to alone.
func (def *Definition) onlyFilters(changed string) bool {
	name, options, _ := strings.Cut(changed, " ")
	s := def.sources[name]
	if s == nil || options != "(filters)" {
		return false
	}
	_, ok := s.def.(*mqttSource)
	return ok
}

// subscriber is an MQTT client as a source.
type subscriber interface {
	SetSubscriptions(context.Context, []mqtt.Subscription) error
}

// subscribe changes the subscriptions of the running sources from old to def. It comes
// after the rules: retained messages, which are sent at once, find the new ones.
func (def *Definition) subscribe(ctx context.Context, p *bridge.Pipeline, old *Definition) error {
	var running map[string]bridge.Source
	var errs []error
	for _, name := range sortedKeys(def.sources) {
		after, ok := def.subscriptions(name)
		before, was := old.subscriptions(name)
		if !ok || !was || reflect.DeepEqual(before, after) {
			continue
		}
		if running == nil {
			running = p.Config().Sources
		}
		s, ok := running[name].(subscriber)
		if !ok {
			errs = append(errs, fmt.Errorf("sources.%s (subscriptions): %w", name, ErrRestart))
			continue
		}
		if err := s.SetSubscriptions(ctx, after); err != nil {
			errs = append(errs, fmt.Errorf("sources.%s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// subscriptions returns those of an MQTT client.
func (def *Definition) subscriptions(name string) ([]mqtt.Subscription, bool) {
	s := def.sources[name]
	if s == nil {
		return nil, false
	}
	m, ok := s.def.(*mqttSource)
	if !ok {
		return nil, false
	}
	return m.config(def.context(name, nil)).Filters, true
}

// backTimeout bounds how long a pipeline takes to go back.
const backTimeout = 30 * time.Second

// back returns a pipeline to old, after a broker has refused a subscription, or the
// change was called off while it was waited for.
func (def *Definition) back(p *bridge.Pipeline, old *Definition, log *slog.Logger) error {
	ctx, cancel := context.WithTimeout(context.Background(), backTimeout)
	defer cancel()
	var errs []error
	if err := old.subscribe(ctx, p, def); err != nil {
		errs = append(errs, fmt.Errorf("going back: %w", err))
	}
	change, err := old.change(old.Diff(def), def, log)
	if err == nil {
		err = p.Apply(ctx, change)
	}
	if err != nil && !errors.Is(err, bridge.ErrDrainTimeout) { // which comes after the change
		errs = append(errs, fmt.Errorf("going back: %w", err))
	}
	return errors.Join(errs...)
}
