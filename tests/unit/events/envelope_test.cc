#include "events/envelope.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>

namespace voketag::events {
namespace {

constexpr std::string_view kTrace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

RecordView bare_record() {
  RecordView record;
  record.topic = "batch-requested";
  record.partition = 7;
  record.offset = 42;
  record.timestamp = Timestamp{1795356309123};
  return record;
}

std::string trace_of(std::string_view traceparent) {
  RecordView record = bare_record();
  record.headers = {{"traceparent", traceparent}};
  return read_envelope(record).traceparent;
}

TEST(ReadEnvelope, ARecordWithoutHeaders) {
  const Envelope envelope = read_envelope(bare_record());
  EXPECT_EQ(envelope.id, "batch-requested/7/42");
  EXPECT_EQ(envelope.source, "/external");
  EXPECT_EQ(envelope.type, "voketag.batch-requested.v1");
  EXPECT_EQ(envelope.time.to_string(), "2026-11-22T14:05:09.123Z");
  EXPECT_EQ(envelope.traceparent.size(), 55U);
  EXPECT_EQ(read_envelope(bare_record()).traceparent, envelope.traceparent);
  RecordView next = bare_record();
  next.offset = 43;
  EXPECT_NE(read_envelope(next).traceparent.substr(3, 32), envelope.traceparent.substr(3, 32));
}

TEST(ReadEnvelope, ARecordWithHeaders) {
  RecordView record = bare_record();
  record.headers = {{"ce_id", "order-4711"},
                    {"ce_source", "/shop"},
                    {"ce_type", "com.example.order"},
                    {"ce_time", "2026-11-22T15:05:09.5+01:00"},
                    {"traceparent", kTrace}};
  const Envelope envelope = read_envelope(record);
  EXPECT_EQ(envelope.id, "order-4711");
  EXPECT_EQ(envelope.source, "/shop");
  EXPECT_EQ(envelope.type, "com.example.order");
  EXPECT_EQ(envelope.time.to_string(), "2026-11-22T14:05:09.500Z");
  EXPECT_EQ(envelope.traceparent, kTrace);
}

TEST(ReadEnvelope, WhatIsMalformedIsFilledIn) {
  RecordView record = bare_record();
  const std::string long_id(257, 'x');
  record.headers = {
      {"ce_id", long_id}, {"ce_source", ""}, {"ce_type", long_id}, {"ce_time", "yesterday"}};
  const Envelope envelope = read_envelope(record);
  EXPECT_EQ(envelope.id, "batch-requested/7/42");
  EXPECT_EQ(envelope.type, "voketag.batch-requested.v1");
  EXPECT_EQ(envelope.source, "/external");
  EXPECT_EQ(envelope.time, record.timestamp);
}

TEST(ReadEnvelope, AnIdMayBeAnyBytes) {
  RecordView record = bare_record();
  record.headers = {{"ce_id", "\xff\x01"}};
  const Envelope envelope = read_envelope(record);
  EXPECT_EQ(envelope.id, "\xff\x01");
  EXPECT_EQ(trace_of(envelope.traceparent), envelope.traceparent);
}

// W3C Trace Context, §3.2.2 and §4.3 (its own examples of what is to be refused among them).
TEST(ReadEnvelope, TraceparentIsTakenOrDerived) {
  const std::string derived = read_envelope(bare_record()).traceparent;
  EXPECT_EQ(trace_of(kTrace), kTrace);
  EXPECT_EQ(trace_of("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"),
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00");
  for (const std::string_view refused :
       {"", "00", "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01x"}) {
    EXPECT_EQ(trace_of(refused), derived) << refused;
  }
}

TEST(ReadEnvelope, AFutureTraceparentIsReadAsFarAsItIsKnown) {
  EXPECT_EQ(trace_of("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-what-comes"), kTrace);
  EXPECT_EQ(trace_of("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-fe"),
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00");
}

TEST(DeriveEnvelope, FollowsFromCauseTypeAndOrdinal) {
  const Envelope cause = read_envelope(bare_record());
  const auto derive = [&](std::string_view topic, int ordinal) {
    return derive_envelope(cause, "/voketag/ingress", topic, ordinal, Timestamp{1});
  };
  const Envelope accepted = derive("batch-accepted", 0);
  // uuid5(kNamespace, "batch-requested/7/42/voketag.batch-accepted.v1/0")
  EXPECT_EQ(accepted.id, "b4004113-fa69-5366-80e2-36b4339f98a8");
  EXPECT_EQ(accepted.source, "/voketag/ingress");
  EXPECT_EQ(accepted.type, "voketag.batch-accepted.v1");
  EXPECT_EQ(accepted.time, Timestamp{1});
  EXPECT_EQ(derive("batch-accepted", 0).id, accepted.id);
  EXPECT_NE(derive("batch-accepted", 1).id, accepted.id);
  EXPECT_NE(derive("batch-failed", 0).id, accepted.id);
}

TEST(DeriveEnvelope, StaysInTheTraceWithASpanOfItsOwn) {
  RecordView record = bare_record();
  record.headers = {{"traceparent", kTrace}};
  const Envelope cause = read_envelope(record);
  const Envelope derived = derive_envelope(cause, "/voketag/ingress", "batch-accepted", 0, {});
  EXPECT_EQ(derived.traceparent.substr(0, 36), kTrace.substr(0, 36));
  EXPECT_NE(derived.traceparent.substr(36, 16), kTrace.substr(36, 16));
  EXPECT_EQ(derived.traceparent.substr(52), "-01");
  EXPECT_EQ(trace_of(derived.traceparent), derived.traceparent);
}

TEST(BeginEnvelope, BeginsATraceThatFollowsFromTheId) {
  const auto begin = [](std::string id) {
    return begin_envelope(std::move(id), "/voketag/batches", "voketag.timer.v1", Timestamp{7});
  };
  const Envelope envelope = begin("batches/3/retry/17");
  EXPECT_EQ(envelope.id, "batches/3/retry/17");
  EXPECT_EQ(envelope.source, "/voketag/batches");
  EXPECT_EQ(envelope.type, "voketag.timer.v1");
  EXPECT_EQ(envelope.time, Timestamp{7});
  EXPECT_EQ(trace_of(envelope.traceparent), envelope.traceparent);
  EXPECT_EQ(begin("batches/3/retry/17").traceparent, envelope.traceparent);
  EXPECT_NE(begin("batches/3/retry/18").traceparent, envelope.traceparent);
}

TEST(ToHeaders, AreReadBack) {
  const Envelope envelope = derive_envelope(read_envelope(bare_record()), "/voketag/ingress",
                                            "batch-accepted", 3, Timestamp{1795356309123});
  const Headers headers = to_headers(envelope);
  RecordView record;
  record.topic = "batch-accepted";
  for (const auto& [name, value] : headers) record.headers.emplace_back(name, value);
  const Envelope read = read_envelope(record);
  EXPECT_EQ(read.id, envelope.id);
  EXPECT_EQ(read.source, envelope.source);
  EXPECT_EQ(read.type, envelope.type);
  EXPECT_EQ(read.time, envelope.time);
  EXPECT_EQ(read.traceparent, envelope.traceparent);
  std::string names;
  for (const auto& header : headers) names += header.first + " ";
  EXPECT_EQ(names, "ce_specversion ce_id ce_source ce_type ce_time content-type traceparent ");
}

}  // namespace
}  // namespace voketag::events
