import { testProxy } from './suite.ts'

testProxy('nginx', { refusal: 'during the upload', isUploadStreamed: true, hasPaths: true, hasTls: true })
