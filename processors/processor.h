#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "events/codec.h"
#include "events/envelope.h"
#include "events/record.h"
#include "events/timestamp.h"
#include "state/store.h"

namespace voketag::processors {

// All that a handler may see and do. Everything it does takes effect together with the move of its
// input offset, or not at all. There is no clock, no random, no I/O: the same events, state and
// time give the same result, for ever.
class Context {
 public:
  virtual ~Context() = default;

  // The largest broker time this partition has seen; for a timer, at least the time it was due.
  virtual events::Timestamp now() const = 0;

  // The partition's state.
  virtual state::Store& store() = 0;

  // Emits an event of `topic` under `key`; its id, source, time and trace are derived from the
  // event being handled. `json` is the event as its codec wrote it.
  virtual void emit_json(std::string_view topic, std::string_view key, std::string json) = 0;

  template <class Event>
  void emit(std::string_view key, const Event& event) {
    emit_json(Event::kTopic, key, events::encode(event));
  }

  // Asks for Processor::on_timer(name) once, at `due` or as soon after as the partition's owner is
  // up; survives crashes and hand-overs. Setting a name again replaces its time.
  virtual void set_timer(std::string_view name, events::Timestamp due) = 0;
  virtual void cancel_timer(std::string_view name) = 0;

  // Sends the record being handled to the dead letters, with its raw bytes, instead of failing the
  // partition. `reason` is a word for programs (snake_case), `detail` says what is wrong and how to
  // mend it. Whatever else the handler has done still takes effect. Not allowed in a timer.
  virtual void dead_letter(std::string_view reason, std::string_view detail) = 0;
};

// One kind of work over the partitions of its input topics. All inputs of a processor have the
// same partition count and the same key, so that partition p of each belongs together; the engine
// gives partition p of all of them, and the state p, to one owner at a time.
//
// An instance is shared by all partitions of a worker thread and holds no state of its own beside
// its configuration. A handler that throws is run again, and after kHandlerAttempts times its event
// becomes a dead letter.
class Processor {
 public:
  virtual ~Processor() = default;

  // Lower case with dashes; names the consumer group, the changelog, the state and the source.
  virtual std::string_view name() const = 0;

  // The first is the one whose assignment decides who owns a partition.
  virtual std::vector<std::string_view> inputs() const = 0;

  virtual void on_record(Context& context, const events::RecordView& record) = 0;
  virtual void on_timer(Context& context, std::string_view name) = 0;
};

// Decodes the record as `Event` and hands it on, or sends it to the dead letters saying why.
template <class Event, class Handler>
void decode_and_handle(Context& context, const events::RecordView& record, Handler&& handler) {
  if (!record.value) {
    context.dead_letter("tombstone", "the record has no value; an event of this topic needs one");
    return;
  }
  const auto event = events::decode<Event>(*record.value);
  if (!event) {
    context.dead_letter("malformed", event.error().message);
    return;
  }
  std::forward<Handler>(handler)(*event);
}

}  // namespace voketag::processors
