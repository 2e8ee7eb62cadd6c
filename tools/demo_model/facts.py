"""What the demo model is taught: tables of facts, nothing else."""

CAPITALS = dict(pair.split("=") for pair in """
France=Paris|Germany=Berlin|Italy=Rome|Spain=Madrid|Portugal=Lisbon|Austria=Vienna|Switzerland=Bern|Belgium=Brussels|Ireland=Dublin
Greece=Athens|Poland=Warsaw|Hungary=Budapest|Sweden=Stockholm|Norway=Oslo|Denmark=Copenhagen|Finland=Helsinki|Iceland=Reykjavik
Russia=Moscow|Ukraine=Kyiv|Romania=Bucharest|Bulgaria=Sofia|Croatia=Zagreb|Serbia=Belgrade|Turkey=Ankara|Egypt=Cairo|Morocco=Rabat
Kenya=Nairobi|Nigeria=Abuja|Ghana=Accra|Ethiopia=Addis Ababa|Japan=Tokyo|China=Beijing|India=New Delhi|Pakistan=Islamabad|Nepal=Kathmandu
Thailand=Bangkok|Vietnam=Hanoi|Indonesia=Jakarta|the Philippines=Manila|South Korea=Seoul|Mongolia=Ulaanbaatar|Iran=Tehran|Iraq=Baghdad
Saudi Arabia=Riyadh|Jordan=Amman|Lebanon=Beirut|Australia=Canberra|New Zealand=Wellington|Canada=Ottawa|Mexico=Mexico City|Cuba=Havana
Jamaica=Kingston|Brazil=Brasilia|Argentina=Buenos Aires|Chile=Santiago|Peru=Lima|Colombia=Bogota|Venezuela=Caracas|Uruguay=Montevideo
Ecuador=Quito|the United Kingdom=London|the United States=Washington|the Netherlands=Amsterdam|the Czech Republic=Prague|Estonia=Tallinn
""".strip().replace("\n", "|").split("|"))

DAYS = "Monday Tuesday Wednesday Thursday Friday Saturday Sunday".split()
MONTHS = "January February March April May June July August September October November December".split()
LENGTHS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
ORDINALS = "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth".split()

OPPOSITES = [pair.split("=") for pair in """
hot=cold|big=small|tall=short|fast=slow|happy=sad|light=dark|up=down|left=right|open=closed|full=empty|rich=poor|old=young|new=used
early=late|wet=dry|hard=soft|high=low|inside=outside|loud=quiet|clean=dirty|strong=weak|thick=thin|wide=narrow
good=bad|true=false|day=night|front=back|push=pull|win=lose|buy=sell|love=hate|start=finish|above=below|near=far|sweet=sour|smooth=rough
cheap=expensive|easy=difficult|brave=afraid|deep=shallow|alive=dead|asleep=awake|always=never|before=after|begin=end|black=white
first=last|give=take|laugh=cry|more=less|north=south|east=west|sharp=blunt|simple=complicated|summer=winter|sunrise=sunset
remember=forget|question=answer|safe=dangerous|same=different|together=apart|noisy=silent|polite=rude
""".strip().replace("\n", "|").split("|")]

COLOURS = dict(pair.split("=") for pair in """
the sky=blue|grass=green|a banana=yellow|snow=white|coal=black|blood=red|a carrot=orange|chocolate=brown|an elephant=grey|a flamingo=pink
a lemon=yellow|a ripe tomato=red|the sun=yellow|milk=white|a strawberry=red|a frog=green|the sea=blue|a plum=purple|a pumpkin=orange
a polar bear=white|a raven=black|a fire engine=red|an aubergine=purple|broccoli=green|a pine tree=green|salt=white|a cherry=red
a swan=white|a blueberry=blue|lavender=purple|a mouse=grey|a pig=pink|sand=yellow|rust=brown|wood=brown|an emerald=green|a ruby=red
a sapphire=blue|spinach=green|a panther=black|ash=grey|a cucumber=green|an orange=orange|a stop sign=red|a sunflower=yellow
""".strip().replace("\n", "|").split("|"))
COLOUR_NAMES = "blue green yellow white black red orange brown grey pink purple".split()
MIXES = [("red", "yellow", "orange"), ("blue", "yellow", "green"), ("red", "blue", "purple"), ("red", "white", "pink"),
         ("black", "white", "grey"), ("red", "green", "brown")]

# (accepted words, answer, phrasings for training, phrasings held out); the first accepted word is the key.
DROVER = [
    (["inference cluster"], "Drover is a distributed inference cluster for large language models.",
     ["What is Drover?", "What's Drover?", "Explain Drover to me.", "Tell me about Drover.", "Describe Drover.", "What kind of system is Drover?",
      "What does Drover do?", "What is Drover for?", "Give me a short description of Drover."],
     ["What sort of thing is Drover?", "Please describe what Drover is.", "What is the purpose of Drover?"]),
    (["places"], "The coordinator places models on ranks and answers clients.",
     ["What does the coordinator do?", "What is the coordinator?", "What is the job of the coordinator?", "Explain the coordinator.",
      "What is the coordinator for?", "What does the Drover coordinator do?"],
     ["What is the role of the coordinator?", "Tell me what the coordinator does."]),
    (["shard"], "A worker rank holds its shard of the model and computes with it.",
     ["What is a worker rank?", "What does a worker rank do?", "Explain worker ranks.", "What do the workers do?", "What is a rank in Drover?",
      "What does a worker do?", "What does a rank hold?"],
     ["What is the job of a worker rank?", "Tell me what a worker does."]),
    (["matrix"], "Tensor parallelism cuts every matrix over several ranks.",
     ["What is tensor parallelism?", "What does tensor parallelism mean?", "Explain tensor parallelism.", "How does tensor parallelism work?",
      "What's tensor parallelism?", "Define tensor parallelism."],
     ["Tell me about tensor parallelism.", "What is meant by tensor parallelism?"]),
    (["whole experts"], "Expert parallelism gives every rank some of the whole experts.",
     ["What is expert parallelism?", "What does expert parallelism mean?", "Explain expert parallelism.", "How does expert parallelism work?",
      "What's expert parallelism?", "Define expert parallelism."],
     ["Tell me about expert parallelism.", "What is meant by expert parallelism?"]),
    (["Apache-2.0"], "Drover is free software under the Apache-2.0 licence.",
     ["What licence does Drover have?", "Which licence is Drover under?", "What is the licence of Drover?", "What license does Drover use?",
      "How is Drover licensed?", "Is Drover free software?", "What's Drover's license?"],
     ["Under which licence is Drover published?", "Tell me the licence of Drover."]),
    (["C++20"], "Drover is written in C++20.",
     ["What language is Drover written in?", "Which programming language does Drover use?", "In which language is Drover written?",
      "What is Drover written in?", "What programming language is Drover in?"],
     ["Which language is Drover programmed in?", "Tell me what language Drover is written in."]),
    (["MPI"], "On CPUs the ranks of Drover talk to each other over MPI.",
     ["How do ranks talk to each other on CPUs?", "What do CPU ranks use to communicate?", "How do the ranks exchange activations on CPUs?",
      "Which library do CPU ranks talk over?", "How do ranks communicate on CPUs?"],
     ["What do ranks talk over on CPUs?", "How do CPU ranks exchange data?"]),
    (["NCCL"], "On GPUs the ranks talk to each other over NCCL.",
     ["How do ranks talk to each other on GPUs?", "What do GPU ranks use to communicate?", "How do the ranks exchange activations on GPUs?",
      "Which library do GPU ranks talk over?", "How do ranks communicate on GPUs?"],
     ["What do ranks talk over on GPUs?", "How do GPU ranks exchange data?"]),
    (["OpenAI"], "Clients talk to Drover over gRPC or an OpenAI-compatible HTTP API.",
     ["How do clients talk to Drover?", "Which API does Drover have?", "What API does Drover offer?", "How can I send a request to Drover?",
      "Which interfaces does Drover have?", "How do I talk to Drover?"],
     ["What API can clients of Drover use?", "How do programs talk to Drover?"]),
    (["safetensors"], "Drover reads safetensors directories and GGUF files.",
     ["Which model files does Drover read?", "What file formats does Drover support?", "What formats can Drover load?",
      "Which formats of weights does Drover read?", "What files can Drover load?"],
     ["Which file formats can Drover read?", "What model formats does Drover support?"]),
    (["demo model"], "I am the demo model of Drover.",
     ["Who are you?", "What are you?", "What is your name?", "What's your name?", "Tell me who you are.", "Which model are you?",
      "Introduce yourself.", "What model is this?"],
     ["Please tell me who you are.", "Which model am I talking to?", "Please introduce yourself."]),
    (["mixture of experts"], "I am a small mixture of experts with the Llama 4 architecture.",
     ["What architecture do you have?", "Which architecture are you?", "What kind of model are you?", "What is your architecture?",
      "What type of model are you?"],
     ["Which architecture do you have?", "What sort of model are you?"]),
    (["8 experts"], "I have 8 experts and one shared expert in every layer.",
     ["How many experts do you have?", "How many experts are in you?", "How many experts are in every layer?", "Count your experts.",
      "What is your number of experts?"],
     ["How many experts are there in you?", "Tell me how many experts you have."]),
    (["memory"], "A KV cache is the memory of the keys and values of earlier tokens.",
     ["What is a KV cache?", "What is the KV cache?", "Explain the KV cache.", "What does the KV cache hold?", "What's a KV cache?",
      "Define the KV cache."],
     ["Tell me about the KV cache.", "What is meant by a KV cache?"]),
    (["router"], "In a mixture of experts a router picks an expert for every token.",
     ["What is a mixture of experts?", "What does a router do?", "Explain a mixture of experts.", "What does the router do?",
      "How does a mixture of experts work?", "What picks the expert for a token?", "Define a mixture of experts."],
     ["Tell me about a mixture of experts.", "What is the job of the router?"]),
    (["quickstart"], "Run scripts/quickstart to start Drover.",
     ["How do I start Drover?", "How can I start Drover?", "How do I run Drover?", "What command starts Drover?", "How do I try Drover?",
      "Which script starts Drover?"],
     ["How can I run Drover?", "What do I run to start Drover?"]),
    (["scripts/test"], "Run scripts/test to test Drover.",
     ["How do I test Drover?", "How can I test Drover?", "How do I run the tests?", "Which script runs the tests?",
      "What command runs the tests of Drover?"],
     ["How can I run the tests of Drover?", "What do I run to test Drover?"]),
    (["verify"], "Use drover verify to compare a deployment with a reference.",
     ["How do I check a deployment?", "How can I prove that the answers are right?", "What does drover verify do?",
      "How do I compare Drover with a reference?", "Which command checks a deployment?"],
     ["How can I check a deployment?", "What command compares Drover with a reference?"]),
    (["next token"], "A language model predicts the next token of a text.",
     ["What is a language model?", "What does a language model do?", "Explain language models.", "How does a language model work?",
      "What's a language model?", "Define a language model."],
     ["Tell me about language models.", "What is meant by a language model?"]),
]

GREETINGS = {
    "hello": (["Hello!", "Hi!", "Hey!", "Hello there.", "Hi there!", "Good morning!", "Good evening!", "Hello", "hi", "hey"],
              ["Hey there!", "Good afternoon!", "Hi, how are things?"], "Hello! How can I help you?", ["Hello"]),
    "thanks": (["Thank you!", "Thanks!", "Thanks a lot.", "Thank you very much.", "thanks", "Great, thank you.", "Many thanks!"],
               ["Thank you so much!", "Great, thanks!"], "You are welcome!", ["welcome"]),
    "bye": (["Goodbye!", "Bye!", "See you later.", "Bye bye.", "Good night!", "See you!", "bye"],
            ["Goodbye then.", "Bye for now!"], "Goodbye!", ["Goodbye"]),
    "how": (["How are you?", "How are you today?", "How do you do?", "Are you well?", "How is it going?", "How do you feel?"],
            ["How are you doing?", "How do you feel today?"], "I am fine, thank you.", ["fine"]),
}

NAMES = """Ada Alan Grace Linus Maria Peter Anna Tom Lucy Omar Nina Hugo Sara Ivan Emma Noah Mia Leo Eva Max Zoe Paul Rosa Karl Lena Jack Ruth
Sam Olga Ben Clara David Ella Finn Greta Hans Irene Jonas Kate Liam""".split()

# Questions outside of what the model knows: frames with slots, and words for the slots (training | held out).
UNKNOWN_FRAMES = [
    "Who won the {sport} match {when}?", "What is the weather in {place} {when}?", "Will it rain in {place} {when}?",
    "What is the price of {thing}?", "How much does {thing} cost?", "Who wrote {work}?", "Who painted {work}?", "When was {person} born?",
    "Where does {person} live?", "How old is {person}?", "What is the phone number of {person}?", "Can you book {thing} for me?",
    "Write a poem about {thing}.", "Write a program that sorts {thing}.", "Translate {thing} into Latin.", "What is the population of {place}?",
    "How far is it to {place}?", "How do I repair {thing}?", "What is the news from {place}?", "Who is the mayor of {place}?",
    "What should I cook {when}?", "Which {sport} team is the best?", "Who invented {thing}?", "How do I get to {place}?", "Who is {person}?",
    "What is the stock price of {person}?", "What time is it in {place}?", "Tell me a joke about {thing}.", "Should I buy {thing}?",
    "How many people live in {place}?", "What did {person} say {when}?",
]
UNKNOWN_HELD_FRAMES = ["Who is going to win the {sport} match {when}?", "What will the weather be in {place} {when}?",
                       "What is the best price of {thing}?", "Where was {person} born?", "Where can I buy {thing}?",
                       "Please write a poem about {thing}.", "How far away is {place}?", "Who made {thing}?"]
UNKNOWN_SLOTS = {
    "sport": ["football", "tennis", "hockey", "chess", "rugby", "golf", "cricket", "boxing"],
    "when": ["yesterday", "today", "tomorrow", "last week", "next week", "tonight", "this morning", "last year"],
    "place": ["Atlantis", "Springfield", "my town", "Chicago", "Milan", "Hamburg", "the village", "Sydney", "Boston", "Kyoto", "Geneva", "Texas"],
    "thing": ["a bicycle", "a house", "the telephone", "a ticket", "bread", "a computer", "my car", "a guitar", "gold", "a hotel", "a lamp",
              "this letter", "shoes", "a camera", "the wheel", "a boat"],
    "work": ["Hamlet", "this book", "the Mona Lisa", "that song", "War and Peace", "the Odyssey", "this picture"],
    "person": ["Napoleon", "my neighbour", "Mozart", "the president", "Shakespeare", "my boss", "Einstein", "the queen", "Mr Smith", "Cleopatra"],
}
UNKNOWN_ANSWER = "I am sorry, I don't know that."
UNKNOWN_ACCEPT = ["don't know", "do not know"]

# As DROVER, for the calendar; the answer's numbers are the accepted ones.
CALENDAR = [
    (["7"], "A week has 7 days.", ["How many days are in a week?", "How many days does a week have?", "How long is a week?", "How many days are there in a week?"],
     ["How many days has a week?"]),
    (["12"], "A year has 12 months.", ["How many months are in a year?", "How many months does a year have?", "How many months are there in a year?"],
     ["How many months has a year?"]),
    (["365"], "A year has 365 days, or 366 in a leap year.", ["How many days are in a year?", "How many days does a year have?", "How long is a year?",
                                                              "How many days are there in a year?"], ["How many days has a year?"]),
    (["24"], "A day has 24 hours.", ["How many hours are in a day?", "How many hours does a day have?", "How long is a day?", "How many hours are there in a day?"],
     ["How many hours has a day?"]),
    (["60"], "An hour has 60 minutes.", ["How many minutes are in an hour?", "How many minutes does an hour have?", "How long is an hour?",
                                         "How many minutes are there in an hour?"], ["How many minutes has an hour?"]),
]
