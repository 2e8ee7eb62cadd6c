// Licence facts: the built-in ones against the corpus they come from, the strict reader, and which name or text means what.
#include "cli/inspect/license_facts.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <regex>

#include "common/json.h"

namespace drover {
namespace {

std::string Family(const PublishedModel* model) { return model == nullptr ? "" : model->family; }

// The first word of what a source says was published.
std::string Published(const std::string& text) {
  if (text.starts_with("not released")) return "not released";
  if (text.starts_with("partial") || text.starts_with("released in")) return "partial";
  return text.substr(0, text.find_first_of(" ;,"));
}

CommercialUse Commercial(const std::string& text) {
  return text.starts_with("no") ? CommercialUse::kNo : text == "yes" ? CommercialUse::kYes : CommercialUse::kLimited;
}

FactStatus Status(const std::string& note) {
  if (note.starts_with("[licence text read]")) return FactStatus::kRead;
  return note.starts_with("[stated in the vendor repository]") ? FactStatus::kVendor : FactStatus::kUnconfirmed;
}

// Words that must be shown, in single quotes.
void ExpectSameQuotes(const Json& theirs, const std::string& ours, const std::string& where) {
  if (theirs.is_null()) return;
  EXPECT_FALSE(ours.empty()) << where << ": " << theirs;
  const std::string text = theirs.get<std::string>();
  const std::regex quoted("'[^']+'");
  for (std::sregex_iterator it(text.begin(), text.end(), quoted), end; it != end; ++it)
    EXPECT_NE(ours.find(it->str()), std::string::npos) << where << ": " << it->str();
}

void ExpectSameTerms(const Json& theirs, const License& ours, const PublishedModel& model) {
  const std::string& where = model.family;
  EXPECT_EQ(theirs["osi_approved_license"].get<bool>(), ours.osi) << where;
  EXPECT_EQ(Commercial(theirs["commercial_use"]), ours.commercial) << where;
  EXPECT_EQ(theirs["mau_threshold"].is_null() ? 0 : theirs["mau_threshold"].get<int64_t>(), ours.monthly_users.value_or(0)) << where;
  ExpectSameQuotes(theirs["attribution_required"], ours.attribution, where);
  ExpectSameQuotes(theirs["derivative_naming_required"], ours.naming, where);
  EXPECT_EQ(theirs["derivative_naming_required"].is_null(), ours.naming.empty()) << where;
  EXPECT_EQ(theirs["restricted_regions"].size(), ours.regions.size()) << where;
  // Derivatives are listed without the terms that they inherit.
  if (theirs["license_name"].get<std::string>().starts_with("inherit")) return;
  EXPECT_EQ(theirs["use_restrictions"].size(), ours.use.size() + model.use.size()) << where;
}

TEST(BuiltInFacts, AgreeWithTheCorpus) {
  const std::string path = DROVER_SHARED_DIR "/models/licenses.json";
  if (!std::filesystem::exists(path)) GTEST_SKIP() << "not here: " << path;
  const auto corpus = ReadJsonFile(path, {.bytes = 1 << 20});
  ASSERT_TRUE(corpus.ok()) << corpus.status();
  const LicenseFacts facts = BuiltInLicenseFacts();
  size_t known = 0;
  for (const Json& theirs : *corpus) {
    if (theirs["osaid_status"] == "not applicable: closed") continue;  // services, of which nobody holds files
    const auto ours = std::ranges::find(facts.models, theirs["model_family"].get<std::string>(), &PublishedModel::family);
    ASSERT_NE(ours, facts.models.end()) << theirs["model_family"];
    ++known;
    EXPECT_EQ(theirs["license_id"], ours->license ? Json(*ours->license) : Json()) << ours->family;
    EXPECT_EQ(Published(theirs["weights"]), Published(ours->weights)) << ours->family;
    EXPECT_EQ(Published(theirs["training_code"]), Published(ours->code)) << ours->family;
    EXPECT_EQ(Published(theirs["training_data"]), Published(ours->data)) << ours->family;
    EXPECT_EQ(Status(theirs["source_note"]), ours->status) << ours->family;
    if (ours->license) ExpectSameTerms(theirs, *facts.Find(*ours->license), *ours);
  }
  EXPECT_EQ(known, facts.models.size());
  EXPECT_EQ(known, 37u);
}

TEST(BuiltInFacts, KnowEveryPublishedConfigByName) {
  const std::string root = DROVER_SHARED_DIR "/models/";
  if (!std::filesystem::exists(root)) GTEST_SKIP() << "no configs of published models at " << root;
  const LicenseFacts facts = BuiltInLicenseFacts();
  for (const auto& entry : std::filesystem::directory_iterator(root))
    EXPECT_TRUE(!entry.is_directory() || ModelOfName(facts, entry.path().filename().string()) != nullptr) << entry.path();
}

TEST(Names, AreComparedByWordsAndNumbers) {
  const LicenseFacts facts = BuiltInLicenseFacts();
  const std::map<std::string, std::string> rows = {
      {"meta-llama--Meta-Llama-3-8B", "Llama 3 (8B, 70B)"},
      {"Llama-3.1-8B-Instruct-Q4_K_M", "Llama 3.1 (8B, 70B, 405B)"},
      {"llama-2-7b-chat.Q4_0", "Llama 2 (7B, 13B, 70B)"},
      {"huggyllama--llama-7b", "LLaMA 1 (7B-65B)"},
      {"open_llama_7b", ""},
      {"deepseek-ai--DeepSeek-V3-0324", "DeepSeek-R1, DeepSeek-V3-0324, V3.1, V3.2-Exp, V3.2"},
      {"deepseek-ai--DeepSeek-V3", "DeepSeek-V3 (December 2024: Base and Chat)"},
      {"DeepSeek-R1-Distill-Llama-8B", ""},
      {"Qwen2.5-7B-Instruct", "Qwen2, Qwen2.5 (most sizes)"},
      {"Qwen2.5-72B-Instruct", ""},
      {"Qwen2.5-3B", ""},
      {"mpt-7b-chat", ""},
      {"bigscience--bloom", "BLOOM (176B)"},
      {"bigscience--bloom-7b1", ""},
      {"Llama-3.5-8B", ""},
      {"llama", ""},
      {"", ""},
  };
  for (const auto& [name, family] : rows) EXPECT_EQ(Family(ModelOfName(facts, name)), family) << name;
}

TEST(Texts, AreKnownByTheirTitle) {
  const LicenseFacts facts = BuiltInLicenseFacts();
  const std::map<std::string, std::string> rows = {
      {"Apache License Version 2.0, January 2004 http://www.apache.org/licenses/", "Apache-2.0"},
      {"MIT License Copyright (c) 2023 DeepSeek", "MIT"},
      {"LLAMA 3.1 COMMUNITY LICENSE AGREEMENT Llama 3.1 Version Release Date: July 23, 2024", "LicenseRef-llama3.1"},
      {"META LLAMA 3 COMMUNITY LICENSE AGREEMENT", "LicenseRef-llama3"},
      {"Modified MIT License Copyright (c) 2025 Moonshot AI Permission", "LicenseRef-Modified-MIT-Kimi-K2"},
      {"Modified MIT License Software Copyright (c) 2019 OpenAI", "LicenseRef-Modified-MIT-GPT-2"},
      {"Modified MIT License Copyright (c) 2030 Somebody", ""},
      {"Tongyi Qianwen RESEARCH LICENSE AGREEMENT", "LicenseRef-tongyi-qianwen-research"},
      {"All rights reserved. This is no MIT License", ""},
      {"", ""},
  };
  for (const auto& [text, id] : rows) {
    const License* license = LicenseOfText(facts, text);
    EXPECT_EQ(license == nullptr ? "" : license->id, id) << text;
  }
  EXPECT_EQ(LicenseOfTag(facts, "Apache-2.0")->id, "Apache-2.0");
  EXPECT_EQ(LicenseOfTag(facts, "llama3.1")->id, "LicenseRef-llama3.1");
  EXPECT_EQ(LicenseOfTag(facts, "cc-by-nc-4.0"), nullptr);
}

TEST(Reader, IsStrict) {
  const std::string license = R"({"id":"X","name":"x","osi":true,"commercial":"yes")";
  const std::string model = R"({"family":"f","names":["n"],"license":"X","weights":"released","code":"partial; a","data":"not released","status":"read")";
  const auto parse = [](const std::string& l, const std::string& m) {
    return Message(ParseLicenseFacts(Cat(R"({"licenses":[)", l, R"(],"models":[)", m, "]}")).status());
  };
  EXPECT_EQ(parse(license + "}", model + "}"), "");
  EXPECT_EQ(parse(license + R"(,"osl":1})", ""), "license facts: licenses[0].osl: is not a known key");
  EXPECT_EQ(parse(license + R"(,"monthly_users":-1})", ""), "license facts: licenses[0].monthly_users: expected a count");
  EXPECT_EQ(parse(license + R"(,"use":"no"})", ""), "license facts: licenses[0].use: expected a list of texts");
  EXPECT_EQ(parse(license + "}," + license + "}", ""), "license facts: X is there twice");
  EXPECT_EQ(parse("", model + "}"), "license facts: models[0].license: X is not among the licenses");
  EXPECT_EQ(parse("7", ""), "license facts: licenses[0]: expected an object");
  EXPECT_EQ(parse(R"({"id":"X","name":"x","osi":true,"commercial":"perhaps"})", ""), "license facts: licenses[0].commercial: is none of its words");
  EXPECT_NE(parse(license + "}", R"({"family":"f","names":["n"],"license":"X","weights":"released","code":"maybe","data":"released","status":"read"})")
                .find("models[0].code: expected to begin with"), std::string::npos);
  EXPECT_NE(Message(ParseLicenseFacts("[]").status()), "");
}

}  // namespace
}  // namespace drover
