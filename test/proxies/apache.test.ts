import { testProxy } from './suite.ts'

testProxy('apache', { refusal: 'before the upload', isUploadStreamed: true, hasPaths: true, hasTls: true })
