#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <simdjson.h>

#include <sstream>

#include "voketag/commands/batch.h"
#include "voketag/escaped_text.h"
#include "voketag/json_text.h"
#include "voketag/nearest_name.h"
#include "voketag/product_lines.h"
#include "voketag/terminal.h"
#include "voketag/token_text.h"

namespace voketag::cli {
namespace {

using ::testing::HasSubstr;

TEST(NumbersTest, AreForPeople) {
  EXPECT_EQ(with_thousands(0), "0");
  EXPECT_EQ(with_thousands(999), "999");
  EXPECT_EQ(with_thousands(1000), "1,000");
  EXPECT_EQ(with_thousands(-1234567), "-1,234,567");
  EXPECT_EQ(duration_text(0), "0 ms");
  EXPECT_EQ(duration_text(999), "999 ms");
  EXPECT_EQ(duration_text(2449), "2.4 s");
  EXPECT_EQ(duration_text(59'990), "59.9 s");
  EXPECT_EQ(duration_text(200'000), "3 min 20 s");
  EXPECT_EQ(duration_text(7'500'000), "2 h 5 min");
  EXPECT_EQ(duration_text(273'600'000), "3 d 4 h");
  EXPECT_EQ(bytes_text(512), "512 B");
  EXPECT_EQ(bytes_text(1'572'864), "1.5 MiB");
  EXPECT_EQ(rate_text(950), "950/s");
  EXPECT_EQ(rate_text(12'400), "12.4 k/s");
  EXPECT_EQ(rate_text(1'210'000), "1.21 M/s");
}

TEST(DurationTest, ParsesUnits) {
  EXPECT_EQ(*parse_duration_ms("90"), 90'000);
  EXPECT_EQ(*parse_duration_ms("1.5s"), 1'500);
  EXPECT_EQ(*parse_duration_ms("250ms"), 250);
  EXPECT_EQ(*parse_duration_ms("5m"), 300'000);
  EXPECT_EQ(*parse_duration_ms("2h"), 7'200'000);
  for (const char* bad : {"", "s", "-1s", "0", "1x", "1s2", "nan", "inf", "1e300h"}) {
    EXPECT_FALSE(parse_duration_ms(bad)) << bad;
  }
}

TEST(TableTest, AlignsByWhatIsSeen) {
  TextTable table({{"NAME"}, {"COUNT", TextTable::Align::kRight}, {"END"}});
  table.add({"\033[32mgrün\033[0m", "5", "x"});
  table.add({"longer", "1,000", "y"});
  std::ostringstream out;
  table.print(out, Paint(false));
  EXPECT_EQ(out.str(),
            "NAME    COUNT  END\n"
            "\033[32mgrün\033[0m        5  x\n"
            "longer  1,000  y\n");
}

TEST(ProgressBarTest, FillsAndIsAsWideAsAsked) {
  std::ostringstream out;
  TerminalTraits traits;
  Terminal plain(out, out, traits);
  EXPECT_EQ(progress_bar(plain, 0, 10), "----------");
  EXPECT_EQ(progress_bar(plain, 0.5, 10), "#####-----");
  EXPECT_EQ(progress_bar(plain, 1, 10), "##########");
  EXPECT_EQ(progress_bar(plain, 7, 10), "##########");
  traits.unicode = true;
  Terminal pretty(out, out, traits);
  for (double fraction = 0; fraction <= 1; fraction += 0.01) {
    EXPECT_EQ(display_width(progress_bar(pretty, fraction, 20)), 20U);
  }
}

TEST(LiveLinesTest, DrawNothingWhereThereIsNoTerminal) {
  std::ostringstream out;
  Terminal terminal(out, out, {});
  LiveLines lines(terminal);
  lines.draw({"a", "b"});
  lines.draw({"c"});
  EXPECT_EQ(out.str(), "");
}

TEST(LiveLinesTest, DrawOverWhatWasDrawn) {
  std::ostringstream error;
  std::ostringstream output;
  TerminalTraits traits;
  traits.error_is_terminal = true;
  Terminal terminal(output, error, traits);
  LiveLines lines(terminal);
  lines.draw({"a", "b"});
  lines.draw({"c"});
  EXPECT_EQ(error.str(), "a\nb\n\033[2A\r\033[Jc\n");
}

TEST(EscapedTest, LetsNothingReachTheTerminal) {
  EXPECT_EQ(escaped("plain – ünï 漢"), "plain – ünï 漢");
  EXPECT_EQ(escaped("\033[31mred"), "\\x1b[31mred");
  EXPECT_EQ(escaped("a\\b"), "a\\\\b");
  EXPECT_EQ(escaped("a\nb"), "a\\x0ab");
  EXPECT_EQ(escaped("a\nb\r", true), "a\nb\\x0d");
  EXPECT_EQ(escaped(std::string("\0\x7f\xff", 3)), "\\x00\\x7f\\xff");
  EXPECT_EQ(escaped("\xc2\x9b"
                    "31m"),
            "\\xc2\\x9b31m");  // C1: control sequence introducer
  EXPECT_EQ(escaped("\xe2\x80\xae"
                    "gpj"),
            "\\xe2\\x80\\xaegpj");                        // right-to-left override
  EXPECT_EQ(escaped("\xc0\xaf"), "\\xc0\\xaf");           // overlong
  EXPECT_EQ(escaped("\xed\xa0\x80"), "\\xed\\xa0\\x80");  // surrogate
  for (int byte = 0; byte < 256; ++byte) {
    for (const char c : escaped(std::string(1, static_cast<char>(byte)))) {
      EXPECT_TRUE(c >= ' ' && c <= '~') << byte;
    }
  }
}

TEST(ShortenedTest, CutsByColumns) {
  EXPECT_EQ(shortened("abc", 3), "abc");
  EXPECT_EQ(shortened("abcd", 3), "ab…");
  EXPECT_EQ(shortened("äöüß", 3), "äö…");
}

TEST(JsonTextTest, IsJsonWhateverTheBytes) {
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  JsonText json;
  json.begin_object().member("all", all).member("n", 5).member("b", true);
  json.name("list").begin_array().value("x").null().end_array();
  json.member("none", std::optional<std::string>()).end_object();
  simdjson::dom::parser parser;
  simdjson::dom::element root;
  ASSERT_EQ(parser.parse(json.text()).get(root), simdjson::SUCCESS) << json.text();
  EXPECT_EQ(std::int64_t(root["n"]), 5);
  EXPECT_THAT(json.text(), HasSubstr("\"none\":null"));
}

TEST(Base64Test, KnownAnswers) {  // RFC 4648 §10
  EXPECT_EQ(base64(""), "");
  EXPECT_EQ(base64("f"), "Zg==");
  EXPECT_EQ(base64("fo"), "Zm8=");
  EXPECT_EQ(base64("foo"), "Zm9v");
  EXPECT_EQ(base64("foobar"), "Zm9vYmFy");
}

TEST(NearestNameTest, FindsSlipsAndNotStrangers) {
  const std::vector<std::string> names = {"request", "status", "wait", "export"};
  EXPECT_EQ(nearest_name("reqest", names), "request");
  EXPECT_EQ(nearest_name("stauts", names), "status");
  EXPECT_EQ(nearest_name("exprot", names), "export");
  EXPECT_EQ(nearest_name("completely-different", names), std::nullopt);
}

TEST(ProductLinesTest, AreAsDocumented) {
  const ProductLine product{"id", 7, "TOKEN", "active"};
  std::string text = product_header(ProductFormat::kCsv);
  append_product(text, ProductFormat::kCsv, product, "https://v.example");
  EXPECT_EQ(text,
            "product_id,serial,token,status,url\n"
            "id,7,TOKEN,active,https://v.example/r/TOKEN\n");
  text.clear();
  append_product(text, ProductFormat::kJsonl, product, "https://v.example");
  EXPECT_EQ(text, R"({"product_id":"id","serial":7,"token":"TOKEN","status":"active",)"
                  R"("url":"https://v.example/r/TOKEN"})"
                  "\n");
  text.clear();
  append_product(text, ProductFormat::kUrls, product, "https://v.example");
  EXPECT_EQ(text, "https://v.example/r/TOKEN\n");
}

TEST(TokenTextTest, FindsTheTokenInUrls) {
  const std::string token(46, 'A');  // version 0: found, and then refused as a token
  for (const std::string& text :
       {token, "https://v.example/r/" + token, "https://v.example/base/r/" + token + "?utm=1#x",
        "https://id.example/01/09520123456788/21/" + token + "?17=180426"}) {
    EXPECT_THAT(token_of(text).error().message, HasSubstr("version")) << text;
  }
  EXPECT_THAT(token_of("https://v.example/").error().message, HasSubstr("holds no token"));
}

TEST(TokenTextTest, ReadsWhatAProductIdTells) {
  // ms 0x019aae5f1c00, tag high 0x123, low 20 bits 0x45678.
  events::Uuid id;
  id.bytes = {0x01, 0x9a, 0xae, 0x5f, 0x1c, 0x00, 0x81, 0x23,
              0x91, 0x59, 0xe0, 0x00, 0x00, 0x00, 0x00, 0x00};
  EXPECT_EQ(parts_of(id).batch_tag, "12345678");
  EXPECT_EQ(parts_of(id).requested_at.ms, 0x019aae5f1c00);
}

}  // namespace
}  // namespace voketag::cli
