#include "connectors/kafka/error_class.h"

#include <gtest/gtest.h>

#include <array>

namespace voketag::kafka {
namespace {

constexpr std::array kPhases = {Phase::kInit,        Phase::kBegin,  Phase::kSend,
                                Phase::kSendOffsets, Phase::kCommit, Phase::kAbort};

ErrorFacts retriable(rd_kafka_resp_err_t code) {
  return {.code = code, .retriable = true};
}
ErrorFacts abortable(rd_kafka_resp_err_t code) {
  return {.code = code, .requires_abort = true};
}
ErrorFacts fatal(rd_kafka_resp_err_t code, rd_kafka_resp_err_t cause) {
  return {.code = code, .fatal = true, .fatal_cause = cause};
}

TEST(ErrorClassTest, AFatalFenceIsAFenceInEveryPhase) {
  for (const Phase phase : kPhases) {
    for (const auto cause : {RD_KAFKA_RESP_ERR__FENCED, RD_KAFKA_RESP_ERR_PRODUCER_FENCED,
                             RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH}) {
      // librdkafka gives the code itself, or _FATAL or _STATE once the handle is dead.
      for (const auto code : {cause, RD_KAFKA_RESP_ERR__FATAL, RD_KAFKA_RESP_ERR__STATE}) {
        EXPECT_EQ(classify(fatal(code, cause), phase, false), Verdict::kFenced)
            << to_string(phase) << " " << rd_kafka_err2name(code);
        EXPECT_EQ(classify(fatal(code, cause), phase, true), Verdict::kFenced) << to_string(phase);
      }
    }
  }
}

TEST(ErrorClassTest, AnEpochErrorThatIsNotFatalAsksForAnAbort) {
  const auto error = abortable(RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH);
  EXPECT_EQ(classify(error, Phase::kSendOffsets, false), Verdict::kAbort);
  EXPECT_EQ(classify(error, Phase::kCommit, false), Verdict::kAbort);
}

TEST(ErrorClassTest, OtherFatalErrorsEndTheProducerButLeaveACommitOpen) {
  const auto error =
      fatal(RD_KAFKA_RESP_ERR__FATAL, RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER);
  for (const Phase phase : kPhases) {
    EXPECT_EQ(classify(error, phase, false),
              phase == Phase::kCommit ? Verdict::kUnknown : Verdict::kFatal)
        << to_string(phase);
  }
}

TEST(ErrorClassTest, ARetriableErrorIsRetriedAndNeverTakenForAnAnswer) {
  for (const Phase phase :
       {Phase::kInit, Phase::kBegin, Phase::kSendOffsets, Phase::kCommit, Phase::kAbort}) {
    EXPECT_EQ(classify(retriable(RD_KAFKA_RESP_ERR__TIMED_OUT), phase, true), Verdict::kRetry)
        << to_string(phase);
  }
}

TEST(ErrorClassTest, ACommitThatIsRefusedAfterADisturbanceIsUnknown) {
  const auto error = abortable(RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID);
  EXPECT_EQ(classify(error, Phase::kCommit, false), Verdict::kAbort);
  EXPECT_EQ(classify(error, Phase::kCommit, true), Verdict::kUnknown);
  EXPECT_EQ(classify(error, Phase::kSendOffsets, true), Verdict::kAbort)
      << "nothing was ended before the commit";
}

TEST(ErrorClassTest, ACommitErrorWithoutAnyFlagIsUnknown) {
  EXPECT_EQ(classify({.code = RD_KAFKA_RESP_ERR__STATE}, Phase::kCommit, false), Verdict::kUnknown);
  EXPECT_EQ(classify({.code = RD_KAFKA_RESP_ERR__STATE}, Phase::kBegin, false), Verdict::kFatal);
}

TEST(ErrorClassTest, TheGroupsRefusalIsAboutTheMemberNotTheProducer) {
  EXPECT_EQ(classify(abortable(RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID), Phase::kSendOffsets, false),
            Verdict::kLeft);
  EXPECT_EQ(classify(abortable(RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID), Phase::kSendOffsets, false),
            Verdict::kLeft);
  EXPECT_EQ(classify(abortable(RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION), Phase::kSendOffsets, false),
            Verdict::kStale);
}

TEST(ErrorClassTest, AnAbortIsNotAbortedAgain) {
  EXPECT_EQ(classify(abortable(RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID), Phase::kAbort, false),
            Verdict::kFatal);
}

TEST(ErrorClassTest, SendTellsARefusedRecordFromAFullQueueFromABrokenTransaction) {
  EXPECT_EQ(classify({.code = RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE}, Phase::kSend, false),
            Verdict::kRefuse);
  EXPECT_EQ(classify({.code = RD_KAFKA_RESP_ERR__QUEUE_FULL}, Phase::kSend, false), Verdict::kWait);
  EXPECT_EQ(classify({.code = RD_KAFKA_RESP_ERR__STATE}, Phase::kSend, false), Verdict::kAbort);
}

TEST(ErrorClassTest, EveryErrorHasACureAndWhatPassesIsNotInvalid) {
  const rd_kafka_err_desc* descriptions = nullptr;
  std::size_t count = 0;
  rd_kafka_get_err_descs(&descriptions, &count);
  for (std::size_t i = 0; i < count; ++i) {
    const auto code = descriptions[i].code;
    EXPECT_FALSE(cure_for(code).empty());
    if (passing(code)) {
      EXPECT_TRUE(errc_of(code) == events::Errc::kUnavailable ||
                  errc_of(code) == events::Errc::kTimeout)
          << rd_kafka_err2name(code);
    }
  }
}

}  // namespace
}  // namespace voketag::kafka
