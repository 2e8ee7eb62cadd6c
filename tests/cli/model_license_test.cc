// Which licence a model's files state: front matter, licence files, names, and what contradicts.
#include "cli/inspect/model_license.h"

#include <gtest/gtest.h>

#include "tests/models/model_files.h"

namespace drover {
namespace {

std::string Show(const std::vector<Statement>& statements) {
  std::string out;
  for (const Statement& statement : statements) out += statement.where + "=" + statement.says + ";";
  return out;
}

TEST(FrontMatter, GivesLicenseAndBaseModel) {
  const StatedLicense stated = ParseFrontMatter(
      "---\r\nlanguage:\n- en\nlicense: other\nlicense_name: \"llama3.1\"\nbase_model:\n  - meta-llama/Llama-3.1-8B\ntags: [a]\n---\nlicense: mit\n");
  EXPECT_EQ(Show(stated.tags), "README.md, license_name=llama3.1;");
  EXPECT_EQ(Show(stated.names), "README.md, base_model=meta-llama/Llama-3.1-8B;");
}

TEST(FrontMatter, IsOnlyBetweenItsLines) {
  EXPECT_TRUE(ParseFrontMatter("# Model\n---\nlicense: mit\n---\n").tags.empty());
  EXPECT_TRUE(ParseFrontMatter("---\nlicense: mit\n").tags.empty());
  EXPECT_TRUE(ParseFrontMatter("").tags.empty());
  EXPECT_EQ(Show(ParseFrontMatter("---\nlicense: '\x1b[2Jmit'\n---\n").tags), "README.md, license=?[2Jmit;");
}

class Files : public testing::Test {
 protected:
  ModelLicense Find(const std::string& name) {
    StatedLicense stated = ReadStatements(dir_.path());
    stated.names.push_back({"name of the folder", name});
    return FindLicense(BuiltInLicenseFacts(), std::move(stated));
  }
  std::string Id(const ModelLicense& found) { return found.license ? found.license->id : ""; }
  void Write(const char* name, const char* text) { test::WriteFile(dir_.Path(name), text); }
  test::TempDir dir_;
};

TEST_F(Files, ATagDecidesAndTheNameAddsWhatWasPublished) {
  Write("README.md", "---\nlicense: apache-2.0\n---\n");
  const ModelLicense found = Find("OLMo-2-1124-7B");
  EXPECT_EQ(Id(found), "Apache-2.0");
  EXPECT_EQ(found.basis, "README.md, license: \"apache-2.0\"");
  ASSERT_TRUE(found.model.has_value());
  EXPECT_EQ(found.model->data, "released under ODC-BY");
  EXPECT_TRUE(found.notes.empty());
}

TEST_F(Files, ALicenceFileDecides) {
  Write("LICENSE.txt", "\n\n   LLAMA 2 COMMUNITY LICENSE AGREEMENT\t\nLlama 2 Version\n");
  Write("LICENSE-CODE", "MIT License\n");
  EXPECT_EQ(Id(Find("some-model")), "LicenseRef-llama2");
}

TEST_F(Files, ANameStandsBackBehindWhatIsStated) {
  Write("README.md", "---\nlicense: mit\n---\n");
  const ModelLicense found = Find("Llama-3.1-8B");
  EXPECT_EQ(Id(found), "MIT");
  EXPECT_FALSE(found.model.has_value());
  ASSERT_EQ(found.notes.size(), 1u);
  EXPECT_EQ(found.notes[0], "by its name it would be Llama 3.1 (8B, 70B, 405B) under LicenseRef-llama3.1: look which holds");
}

TEST_F(Files, AnUnknownLicenceIsNotReplacedByTheName) {
  Write("README.md", "---\nlicense: cc-by-nc-4.0\n---\n");
  const ModelLicense found = Find("Mistral-7B-finetuned");
  EXPECT_EQ(Id(found), "");
  ASSERT_EQ(found.notes.size(), 2u);
  EXPECT_EQ(found.notes[0], "README.md, license: \"cc-by-nc-4.0\": no facts about this licence here");
}

TEST_F(Files, ContradictionsAreSaid) {
  Write("README.md", "---\nlicense: mit\n---\n");
  Write("LICENSE", "                                 Apache License\n                           Version 2.0, January 2004\n");
  const ModelLicense found = Find("some-model");
  EXPECT_EQ(Id(found), "");
  ASSERT_EQ(found.notes.size(), 1u);
  EXPECT_EQ(found.notes[0], "the files state several licences: look which one is the model's");
}

TEST_F(Files, ANameAloneIsUsedAndNamed) {
  const ModelLicense found = Find("mistralai--Mixtral-8x7B-v0.1");
  EXPECT_EQ(Id(found), "Apache-2.0");
  EXPECT_EQ(found.basis, "name of the folder: \"mistralai--Mixtral-8x7B-v0.1\"");
  EXPECT_EQ(found.model->status, FactStatus::kUnconfirmed);
  EXPECT_EQ(found.notes, std::vector<std::string>{"no file of the model states a licence: a name alone decided"});
}

TEST_F(Files, NothingStatedStaysUnknown) {
  const ModelLicense found = Find("llama");
  EXPECT_EQ(Id(found), "");
  ASSERT_EQ(found.notes.size(), 1u);
  EXPECT_EQ(found.notes[0].find("not stated: "), 0u);
}

}  // namespace
}  // namespace drover
